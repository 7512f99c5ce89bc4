//! Who we are: user and password, token, nkey, or a JWT with its nkey.
//!
//! No secret is ever shown: [`Secret`] prints as stars.

use std::fmt;

use nkeys::KeyPair;

use super::{ConnectOptions, UserClaims};

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides a text.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What is wrong with credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// A credentials file without a JWT block.
    #[error("there is no `-----BEGIN NATS USER JWT-----` block")]
    NoJwt,
    /// A block that does not end.
    #[error("line {line}: the block that begins here has no `END` line")]
    Unterminated {
        /// 1-based line of the `BEGIN`.
        line: usize,
    },
    /// A block without content.
    #[error("line {line}: the block that begins here is empty")]
    EmptyBlock {
        /// 1-based line of the `BEGIN`.
        line: usize,
    },
    /// A JWT that is not three parts.
    #[error("line {line}: this is no JWT: it needs three parts separated by dots")]
    BadJwt {
        /// 1-based line.
        line: usize,
    },
    /// A seed that is none.
    #[error("line {line}: this is no user nkey seed, which begins with `SU`: {reason}")]
    BadSeed {
        /// 1-based line.
        line: usize,
        /// What the nkey library says.
        reason: String,
    },
    /// A file without anything in it.
    #[error("the file holds no nkey seed")]
    NoSeed,
    /// The server did not send the nonce that must be signed.
    #[error("the server sent no nonce to sign: it does not expect an nkey or a JWT")]
    NoNonce,
    /// The key cannot sign.
    #[error("the nonce cannot be signed: {0}")]
    Sign(String),
}

/// Who we are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Credentials {
    /// Nobody in particular.
    #[default]
    None,
    /// User and password.
    UserPassword {
        /// User name.
        user: String,
        /// Password.
        password: Secret,
    },
    /// A token.
    Token(Secret),
    /// An nkey.
    NKey {
        /// Its seed.
        seed: Secret,
    },
    /// A user JWT.
    Jwt {
        /// The JWT.
        jwt: Secret,
        /// The seed of its nkey; a bearer JWT has none.
        seed: Option<Secret>,
    },
}

impl Credentials {
    /// What the user JWT says, if these are one that can be read.
    pub fn claims(&self) -> Option<UserClaims> {
        match self {
            Self::Jwt { jwt, .. } => UserClaims::decode(jwt.expose()).ok(),
            _ => None,
        }
    }

    /// Reads a credentials file: a JWT block, and a seed block unless the JWT is a bearer token.
    ///
    /// # Errors
    /// What is wrong, with the line.
    pub fn from_creds_text(text: &str) -> Result<Self, CredentialsError> {
        let (jwt_line, jwt) = block(text, "NATS USER JWT")?.ok_or(CredentialsError::NoJwt)?;
        if jwt.split('.').filter(|part| !part.is_empty()).count() != 3 {
            return Err(CredentialsError::BadJwt { line: jwt_line });
        }
        let seed = match block(text, "USER NKEY SEED")? {
            None => None,
            Some((line, seed)) => {
                check_seed(&seed, line)?;
                Some(Secret::new(seed))
            }
        };
        Ok(Self::Jwt {
            jwt: Secret::new(jwt),
            seed,
        })
    }

    /// Reads a file that holds an nkey seed, alone or in a block.
    ///
    /// # Errors
    /// What is wrong, with the line.
    pub fn from_seed_text(text: &str) -> Result<Self, CredentialsError> {
        let (line, seed) = match block(text, "USER NKEY SEED")? {
            Some(found) => found,
            None => text
                .lines()
                .enumerate()
                .map(|(idx, line)| (idx + 1, line.trim().to_owned()))
                .find(|(_, line)| !line.is_empty() && !line.starts_with('#'))
                .ok_or(CredentialsError::NoSeed)?,
        };
        check_seed(&seed, line)?;
        Ok(Self::NKey {
            seed: Secret::new(seed),
        })
    }

    /// Fills in CONNECT, signing the server's nonce where that is needed.
    ///
    /// # Errors
    /// When there is nothing to sign.
    pub fn apply(
        &self,
        nonce: Option<&str>,
        connect: &mut ConnectOptions,
    ) -> Result<(), CredentialsError> {
        match self {
            Self::None => {}
            Self::UserPassword { user, password } => {
                connect.user = Some(user.clone());
                connect.pass = Some(password.expose().to_owned());
            }
            Self::Token(token) => connect.auth_token = Some(token.expose().to_owned()),
            Self::NKey { seed } => {
                let pair = key_pair(seed)?;
                connect.nkey = Some(pair.public_key());
                connect.sig = Some(sign(&pair, nonce)?);
            }
            Self::Jwt { jwt, seed } => {
                connect.jwt = Some(jwt.expose().to_owned());
                // A server that sends no nonce asks for no proof: it has no authentication, and lets everybody in.
                if let (Some(seed), Some(nonce)) = (seed, nonce) {
                    connect.sig = Some(sign(&key_pair(seed)?, Some(nonce))?);
                }
            }
        }
        Ok(())
    }
}

fn key_pair(seed: &Secret) -> Result<KeyPair, CredentialsError> {
    KeyPair::from_seed(seed.expose()).map_err(|error| CredentialsError::Sign(error.to_string()))
}

fn check_seed(seed: &str, line: usize) -> Result<(), CredentialsError> {
    let bad = |reason: String| CredentialsError::BadSeed { line, reason };
    if !seed.starts_with("SU") {
        return Err(bad("it is of another kind".to_owned()));
    }
    KeyPair::from_seed(seed)
        .map(|_| ())
        .map_err(|error| bad(error.to_string()))
}

fn sign(pair: &KeyPair, nonce: Option<&str>) -> Result<String, CredentialsError> {
    let nonce = nonce.ok_or(CredentialsError::NoNonce)?;
    let signature = pair
        .sign(nonce.as_bytes())
        .map_err(|error| CredentialsError::Sign(error.to_string()))?;
    Ok(base64_url(&signature))
}

/// The content of the block of that name, and the line that it begins on. Dashes and blanks may vary.
fn block(text: &str, name: &str) -> Result<Option<(usize, String)>, CredentialsError> {
    let is_marker = |line: &str, word: &str| {
        line.starts_with('-')
            && line.trim_matches(|c: char| c == '-' || c.is_whitespace())
                == format!("{word} {name}")
    };
    let mut lines = text.lines().map(str::trim).enumerate();
    let Some((begin_idx, _)) = lines.find(|(_, line)| is_marker(line, "BEGIN")) else {
        return Ok(None);
    };
    let mut content = String::new();
    let mut content_idx = None;
    for (idx, line) in lines {
        // Some writers leave out a dash, or write `END` in full for another block: any END ends it.
        if line.starts_with("---") {
            return match content_idx {
                Some(content_idx) => Ok(Some((content_idx + 1, content))),
                None => Err(CredentialsError::EmptyBlock {
                    line: begin_idx + 1,
                }),
            };
        }
        if !line.is_empty() {
            content_idx.get_or_insert(idx);
            content.push_str(line);
        }
    }
    Err(CredentialsError::Unterminated {
        line: begin_idx + 1,
    })
}

/// Base64 for URLs without padding (RFC 4648 section 5), as the server wants signatures.
fn base64_url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut out = String::with_capacity(bytes.len() * 4 / 3 + 3);
    for chunk in bytes.chunks(3) {
        let byte = |idx: usize| u32::from(chunk.get(idx).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for idx in 0..=chunk.len() {
            out.push(char::from(
                ALPHABET[(bits >> (18 - 6 * idx)) as usize & 0x3F],
            ));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn creds(seed: &str) -> String {
        format!(
            "-----BEGIN NATS USER JWT-----\na.b.c\n------END NATS USER JWT------\n\n**** IMPORTANT ****\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        )
    }

    fn seed() -> String {
        KeyPair::new_user().seed().unwrap()
    }

    #[test]
    fn a_credentials_file_gives_jwt_and_seed() {
        let seed = seed();
        let read = Credentials::from_creds_text(&creds(&seed)).unwrap();
        let Credentials::Jwt {
            jwt,
            seed: Some(read_seed),
        } = read
        else {
            panic!()
        };
        assert_eq!((jwt.expose(), read_seed.expose()), ("a.b.c", seed.as_str()));
    }

    #[test]
    fn faults_name_their_line() {
        let text = creds("nonsense");
        assert!(matches!(
            Credentials::from_creds_text(&text),
            Err(CredentialsError::BadSeed { line: 8, .. })
        ));
        let cut = text.split("------END NATS").next().unwrap();
        assert_eq!(
            Credentials::from_creds_text(cut),
            Err(CredentialsError::Unterminated { line: 1 })
        );
        assert_eq!(
            Credentials::from_creds_text("x"),
            Err(CredentialsError::NoJwt)
        );
        assert!(matches!(
            Credentials::from_seed_text("\n\nSUX"),
            Err(CredentialsError::BadSeed { line: 3, .. })
        ));
        let account = KeyPair::new_account().seed().unwrap();
        assert!(matches!(
            Credentials::from_seed_text(&account),
            Err(CredentialsError::BadSeed { .. })
        ));
    }

    #[test]
    fn a_nonce_is_signed_so_that_the_public_key_verifies_it() {
        let seed = seed();
        let pair = KeyPair::from_seed(&seed).unwrap();
        let mut connect = ConnectOptions::default();
        Credentials::from_seed_text(&seed)
            .unwrap()
            .apply(Some("nonce"), &mut connect)
            .unwrap();
        assert_eq!(connect.nkey.as_deref(), Some(pair.public_key().as_str()));
        assert_eq!(
            connect.sig.unwrap(),
            base64_url(&pair.sign(b"nonce").unwrap())
        );
        let mut connect = ConnectOptions::default();
        let without = Credentials::from_seed_text(&seed)
            .unwrap()
            .apply(None, &mut connect);
        assert_eq!(without, Err(CredentialsError::NoNonce));
    }

    #[test]
    fn secrets_are_never_shown() {
        let password = Secret::new("hunter2".to_owned());
        let shown = format!(
            "{password} {:?}",
            Credentials::UserPassword {
                user: "u".to_owned(),
                password: password.clone()
            }
        );
        assert!(!shown.contains("hunter2"));
    }

    #[test]
    fn base64_agrees_with_rfc_4648() {
        for (plain, encoded) in [
            (&b""[..], ""),
            (b"f", "Zg"),
            (b"fo", "Zm8"),
            (b"foo", "Zm9v"),
            (b"\xff\xef", "_-8"),
        ] {
            assert_eq!(base64_url(plain), encoded);
        }
    }

    proptest! {
        #[test]
        fn arbitrary_files_never_panic(text in "(-----BEGIN NATS USER JWT-----|-----BEGIN USER NKEY SEED-----|---|\n|[a-zA-Z.]{0,9}){0,12}") {
            let _ = Credentials::from_creds_text(&text);
            let _ = Credentials::from_seed_text(&text);
        }
    }
}
