//! Measuring: schedule, stamp, histograms, deliveries, objectives.
