//! Nothing: a package of tests needs a target that is none. The tests are in `main.rs`.
