//! The layer rule, checked on the source text: a module imports from a strictly lower layer or from its own folder.
