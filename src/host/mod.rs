//! Facts about the machine the run is on.
