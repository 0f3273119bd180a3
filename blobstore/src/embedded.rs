//! The default engine: files and a database in one directory.
