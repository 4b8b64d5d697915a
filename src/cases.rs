//! The cases on disk: one file each under the state directory, written aside and
//! renamed.
