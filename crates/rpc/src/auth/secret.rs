//! The secret that node and consensus layer share, and the file that it is in.
//! Source: execution-apis, `authentication.md`, "Key distribution".

use alloy_primitives::{B256, hex};
use std::{
    fmt,
    fs::{self, Permissions},
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// Bytes of a secret.
const SECRET_BYTES: usize = 32;
/// Of the file of a secret: its owner alone may read and write it.
const SECRET_FILE_MODE: u32 = 0o600;

/// The file of a secret is of no use.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// It cannot be read.
    #[error("{}: the JWT secret cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It does not hold a secret.
    #[error("{}: a JWT secret is 32 bytes in hex, with or without 0x: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// It was to be made, and cannot be.
    #[error("{}: the JWT secret cannot be written: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// A key of 256 bits.
#[derive(Clone, PartialEq, Eq)]
pub struct JwtSecret([u8; SECRET_BYTES]);

impl JwtSecret {
    /// Reads the secret from a file that was named by the operator.
    ///
    /// # Errors
    /// [`SecretError::Read`], [`SecretError::Malformed`].
    pub fn load(path: &Path) -> Result<Self, SecretError> {
        let text = fs::read_to_string(path)
            .map_err(|source| SecretError::Read { path: path.to_owned(), source })?;
        Self::from_hex(&text)
            .map_err(|reason| SecretError::Malformed { path: path.to_owned(), reason })
    }

    /// Reads the secret from the default file, which is made with a new secret if there is none. Of
    /// several that start at once one makes it, for all.
    ///
    /// # Errors
    /// As [`JwtSecret::load`], [`SecretError::Write`].
    pub fn load_or_create(path: &Path) -> Result<Self, SecretError> {
        match fs::exists(path) {
            Ok(false) => {}
            Ok(true) | Err(_) => return Self::load(path),
        }
        let secret = Self(B256::random().0);
        match secret.write(path) {
            Ok(()) => Ok(secret),
            // Another has made it meanwhile.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Self::load(path),
            Err(source) => Err(SecretError::Write { path: path.to_owned(), source }),
        }
    }

    /// The secret with these bytes.
    pub const fn new(bytes: [u8; SECRET_BYTES]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; SECRET_BYTES] {
        &self.0
    }

    fn from_hex(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
        if digits.len() != 2 * SECRET_BYTES {
            let wanted = 2 * SECRET_BYTES;
            return Err(format!("{} characters instead of {wanted}", digits.len()));
        }
        let mut bytes = [0; SECRET_BYTES];
        hex::decode_to_slice(digits, &mut bytes).map_err(|error| error.to_string())?;
        Ok(Self(bytes))
    }

    /// Whole or not at all, and in the place of no other.
    fn write(&self, path: &Path) -> io::Result<()> {
        let folder = path.parent().unwrap_or_else(|| Path::new(""));
        fs::create_dir_all(folder)?;
        let mode = Permissions::from_mode(SECRET_FILE_MODE);
        let mut file = tempfile::Builder::new().permissions(mode).tempfile_in(folder)?;
        file.write_all(hex::encode(self.0).as_bytes())?;
        file.as_file().sync_all()?;
        file.persist_noclobber(path).map(drop).map_err(|failed| failed.error)
    }
}

impl fmt::Debug for JwtSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JwtSecret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;

    #[test]
    fn e1_a_secret_is_64_hex_digits_with_or_without_prefix_and_space() {
        let digits = "ab".repeat(32);
        let good = [
            digits.clone(),
            format!("0x{digits}"),
            format!("0X{digits}"),
            format!("  0x{digits}\r\n"),
            digits.to_uppercase(),
        ];
        for text in good {
            assert_eq!(JwtSecret::from_hex(&text), Ok(JwtSecret([0xab; 32])), "{text:?}");
        }
        let bad = [
            String::new(),
            "0x".to_owned(),
            "ab".repeat(31),
            "ab".repeat(33),
            "zz".repeat(32),
            format!("0x0x{}", "ab".repeat(31)),
        ];
        for text in bad {
            assert!(JwtSecret::from_hex(&text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn e1_a_bad_or_missing_file_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret.hex");
        let error = JwtSecret::load(&path).unwrap_err();
        assert!(matches!(error, SecretError::Read { .. }));
        assert!(error.to_string().contains("secret.hex"), "{error}");
        fs::write(&path, "not a secret").unwrap();
        let error = JwtSecret::load(&path).unwrap_err();
        assert!(matches!(error, SecretError::Malformed { .. }));
        assert!(error.to_string().contains("secret.hex"), "{error}");
        // The default file is not written over either.
        assert!(JwtSecret::load_or_create(&path).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "not a secret");
    }

    #[test]
    fn e1_the_default_file_is_made_for_its_owner_alone_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node").join("jwt.hex");
        let made = JwtSecret::load_or_create(&path).unwrap();
        assert_eq!(JwtSecret::load_or_create(&path).unwrap(), made);
        assert_eq!(JwtSecret::load(&path).unwrap(), made);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_ne!(made, JwtSecret([0; 32]));
    }

    #[test]
    fn those_that_start_at_once_share_one_whole_secret() {
        const STARTS: usize = 8;
        for _ in 0..16 {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("jwt.hex");
            let barrier = Barrier::new(STARTS);
            let start = || {
                barrier.wait();
                JwtSecret::load_or_create(&path).unwrap()
            };
            let made: Vec<_> = std::thread::scope(|scope| {
                let starts: Vec<_> = (0..STARTS).map(|_| scope.spawn(start)).collect();
                starts.into_iter().map(|start| start.join().unwrap()).collect()
            });
            let kept = JwtSecret::load(&path).unwrap();
            assert!(made.iter().all(|secret| *secret == kept));
            // Nothing of the others is left beside it.
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn a_file_that_is_there_is_not_replaced_and_what_was_written_beside_it_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("jwt.hex");
        let kept = JwtSecret::load_or_create(&path).unwrap();
        let error = JwtSecret([0xab; 32]).write(&path).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(JwtSecret::load(&path).unwrap(), kept);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_secret_is_not_printed() {
        assert_eq!(format!("{:?}", JwtSecret([0xab; 32])), "JwtSecret(..)");
    }
}
