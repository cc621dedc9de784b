//! What the whole-program tests and the fuzz targets share. The tests are in `it/`.

pub mod methods;
