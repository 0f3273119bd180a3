//! The contract of the two traits as named cases, run against every engine and wrapper by one line.
