/// A way to refer weakly to an object that is busy: the first weak reference to an object itself makes every retain of it cost several times as
/// much from then on.
///
/// Its owner is the only one that keeps it, and whoever holds a weak reference lives on the owner's event loop: while it is there, so is the owner.
final class Presence<Owner: AnyObject> {
  unowned let owner: Owner

  init(of owner: Owner) { self.owner = owner }
}
