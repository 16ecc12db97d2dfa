/// The YAML blocks of the requirements document, letter by letter.
enum RequirementsDocument {
  static let definingGroups = """
    failover_groups:
      - name: "app-servers"
        mode: "active-passive"
        backends: ["backend1", "backend2", "backend3"]
        primary: "backend1"

      - name: "db-servers"
        mode: "normal"
        backends: ["db1", "db2"]
        primary: "db1"

    """

  static let dnsDiscovery = """
    dns_backends:
      - domain: "primary-db.example.com"
        protocol: "postgres"
        port: 5432
        is_primary: true
        group_name: "postgres-cluster"

      - domain: "replica-db.example.com"
        protocol: "postgres"
        port: 5432
        is_primary: false
        group_name: "postgres-cluster"

    """

  static let customHealthChecks = """
    failover_groups:
      - name: "custom-check-group"
        mode: "active-passive"
        backends: ["backend1", "backend2"]
        primary: "backend1"
        health_check:
          path: "/custom-health"
          interval: "5s"
          timeout: "2s"
          healthy_threshold: 3
          unhealthy_threshold: 2

    """

  static let severalGroups = """
    failover_groups:
      - name: "web-tier"
        mode: "active-passive"
        backends: ["web1", "web2", "web3"]
        primary: "web1"

      - name: "app-tier"
        mode: "active-passive"
        backends: ["app1", "app2"]
        primary: "app1"

      - name: "db-tier"
        mode: "active-passive"
        backends: ["db1", "db2"]
        primary: "db1"

    """
}
