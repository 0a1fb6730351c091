package admin

// hooks are what a kind of entity needs besides the rules that its schema can
// say. Where a function is nil the generic behaviour is all there is.
type hooks struct {
	// removing runs before an entity is deleted, in the same transaction. An
	// error keeps it. Cascade says that the caller wants what it holds deleted
	// too.
	removing func(w *work, found stored, cascade bool) error
}

// hooksOf are the hooks by kind: the one place that knows kinds by name.
var hooksOf = map[string]hooks{
	workspaceKind: {removing: removeWorkspace},
}
