//! Private keys as `ssh-keygen` writes them: OpenSSH's own format, and PEM of PKCS#1 (RSA) and PKCS#8.

use std::fmt;

use ring::rand::{SecureRandom, SystemRandom};
use ring::rsa::{KeyPairComponents, PublicKeyComponents};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RsaKeyPair,
};

use super::bignum::modulo_one_less;
use super::wire::{Reader, put_big, put_string};

const MAGIC: &[u8] = b"openssh-key-v1\0";

/// What a client asks for: RSA with SHA-256, and with SHA-512 (RFC 8332). Without either it would be SHA-1.
const RSA_SHA2_256: u32 = 2;
const RSA_SHA2_512: u32 = 4;

/// A key that signs. Nothing shows what it is.
pub struct PrivateKey {
    signer: Signer,
    comment: String,
}

enum Signer {
    Ed25519(Ed25519KeyPair),
    Ecdsa { curve: Curve, key: EcdsaKeyPair },
    Rsa(Box<RsaKeyPair>),
}

#[derive(Clone, Copy)]
enum Curve {
    P256,
    P384,
}

impl Curve {
    fn name(self) -> &'static str {
        match self {
            Self::P256 => "nistp256",
            Self::P384 => "nistp384",
        }
    }

    fn algorithm(self) -> &'static EcdsaSigningAlgorithm {
        match self {
            Self::P256 => &ECDSA_P256_SHA256_FIXED_SIGNING,
            Self::P384 => &ECDSA_P384_SHA384_FIXED_SIGNING,
        }
    }

    fn length(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
        }
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({})", self.comment)
    }
}

/// Why a text is no key that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// There is no private key in it.
    #[error("it holds no private key")]
    NotAKey,
    /// It wants a passphrase.
    #[error("the key is protected by a passphrase")]
    Encrypted,
    /// It cannot be read.
    #[error("the key is damaged")]
    Damaged,
    /// It is of a kind that is not known here.
    #[error("keys of this kind cannot be used: they are ed25519, ecdsa (P-256 and P-384) and RSA (2048 to 8192 bits)")]
    UnknownKind,
}

impl PrivateKey {
    /// Reads the text of a key file.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let (label, body, bytes) = pem(text).ok_or(KeyError::NotAKey)?;
        if label == "ENCRYPTED PRIVATE KEY" || body.contains("ENCRYPTED") {
            return Err(KeyError::Encrypted);
        }
        let bytes = bytes.ok_or(KeyError::Damaged)?;
        let of = |signer| Self { signer, comment: String::new() };
        match label {
            "OPENSSH PRIVATE KEY" => openssh(&bytes),
            "RSA PRIVATE KEY" => RsaKeyPair::from_der(&bytes).map(rsa).map(of).map_err(|_| KeyError::UnknownKind),
            "PRIVATE KEY" => pkcs8(&bytes).map(of).ok_or(KeyError::UnknownKind),
            label if label.ends_with("PRIVATE KEY") => Err(KeyError::UnknownKind),
            _ => Err(KeyError::NotAKey),
        }
    }

    /// What the file calls it.
    pub(super) fn comment(&self) -> &str {
        &self.comment
    }

    /// The public key, as agents name keys.
    pub(super) fn public(&self) -> Vec<u8> {
        let mut blob = Vec::new();
        match &self.signer {
            Signer::Ed25519(key) => {
                put_string(&mut blob, b"ssh-ed25519");
                put_string(&mut blob, key.public_key().as_ref());
            }
            Signer::Ecdsa { curve, key } => {
                put_string(&mut blob, format!("ecdsa-sha2-{}", curve.name()).as_bytes());
                put_string(&mut blob, curve.name().as_bytes());
                put_string(&mut blob, key.public_key().as_ref());
            }
            Signer::Rsa(key) => {
                let public: PublicKeyComponents<Vec<u8>> = key.public().into();
                put_string(&mut blob, b"ssh-rsa");
                put_big(&mut blob, &public.e);
                put_big(&mut blob, &public.n);
            }
        }
        blob
    }

    /// Signs; `None` for a way of signing that is asked for and not had.
    pub(super) fn sign(&self, data: &[u8], flags: u32) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        let mut blob = Vec::new();
        match &self.signer {
            Signer::Ed25519(key) => {
                put_string(&mut blob, b"ssh-ed25519");
                put_string(&mut blob, key.sign(data).as_ref());
            }
            Signer::Ecdsa { curve, key } => {
                let signature = key.sign(&random, data).ok()?;
                let (r, s) = signature.as_ref().split_at_checked(curve.length())?;
                let mut pair = Vec::new();
                put_big(&mut pair, r);
                put_big(&mut pair, s);
                put_string(&mut blob, format!("ecdsa-sha2-{}", curve.name()).as_bytes());
                put_string(&mut blob, &pair);
            }
            Signer::Rsa(key) => {
                let (name, how) = match flags {
                    flags if flags & RSA_SHA2_512 != 0 => ("rsa-sha2-512", &RSA_PKCS1_SHA512),
                    flags if flags & RSA_SHA2_256 != 0 => ("rsa-sha2-256", &RSA_PKCS1_SHA256),
                    _ => return None,
                };
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(how, &random as &dyn SecureRandom, data, &mut signature).ok()?;
                put_string(&mut blob, name.as_bytes());
                put_string(&mut blob, &signature);
            }
        }
        Some(blob)
    }
}

fn rsa(key: RsaKeyPair) -> Signer {
    Signer::Rsa(Box::new(key))
}

/// The first block of a PEM text that is about a private key: its label, its lines, and their bytes.
fn pem(text: &str) -> Option<(&str, &str, Option<Vec<u8>>)> {
    let mut rest = text;
    while let Some((_, begun)) = rest.split_once("-----BEGIN ") {
        let (label, body) = begun.split_once("-----")?;
        let (body, after) = body.split_once("-----END ")?;
        if label.ends_with("PRIVATE KEY") {
            let bytes = base64(body.split_ascii_whitespace().flat_map(str::bytes));
            return Some((label, body, bytes));
        }
        rest = after;
    }
    None
}

fn base64(text: impl Iterator<Item = u8>) -> Option<Vec<u8>> {
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0_u32, 0_u32);
    for c in text.take_while(|c| *c != b'=') {
        let value = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        (bits, held) = (bits << 6 | u32::from(value), held + 6);
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from(bits >> held & 0xff).ok()?);
        }
    }
    Some(bytes)
}

fn pkcs8(bytes: &[u8]) -> Option<Signer> {
    if let Ok(key) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(bytes) {
        return Some(Signer::Ed25519(key));
    }
    if let Ok(key) = RsaKeyPair::from_pkcs8(bytes) {
        return Some(rsa(key));
    }
    [Curve::P256, Curve::P384].into_iter().find_map(|curve| {
        let key = EcdsaKeyPair::from_pkcs8(curve.algorithm(), bytes, &SystemRandom::new()).ok()?;
        Some(Signer::Ecdsa { curve, key })
    })
}

/// OpenSSH's format: `PROTOCOL.key` in its sources.
fn openssh(bytes: &[u8]) -> Result<PrivateKey, KeyError> {
    let mut file = Reader(bytes.strip_prefix(MAGIC).ok_or(KeyError::Damaged)?);
    let mut next = || file.string().ok_or(KeyError::Damaged);
    let (cipher, _kdf, _options) = (next()?, next()?, next()?);
    if cipher != b"none" {
        return Err(KeyError::Encrypted);
    }
    let (count, _public) = (file.number(), file.string());
    let private = file.string().filter(|_| count == Some(1)).ok_or(KeyError::Damaged)?;
    let mut key = Reader(private);
    if key.number().ok_or(KeyError::Damaged)? != key.number().ok_or(KeyError::Damaged)? {
        return Err(KeyError::Damaged);
    }
    let kind = key.string().ok_or(KeyError::Damaged)?;
    let signer = match kind {
        b"ssh-ed25519" => openssh_ed25519(&mut key),
        b"ecdsa-sha2-nistp256" => openssh_ecdsa(&mut key, Curve::P256),
        b"ecdsa-sha2-nistp384" => openssh_ecdsa(&mut key, Curve::P384),
        b"ssh-rsa" => openssh_rsa(&mut key),
        _ => return Err(KeyError::UnknownKind),
    };
    let signer = signer.ok_or(KeyError::Damaged)??;
    let comment = String::from_utf8_lossy(key.string().unwrap_or_default()).into_owned();
    Ok(PrivateKey { signer, comment })
}

/// `None` is a file that ends too soon.
type Read = Option<Result<Signer, KeyError>>;

fn openssh_ed25519(key: &mut Reader<'_>) -> Read {
    let (public, both) = (key.string()?, key.string()?);
    let seed = both.get(..32)?;
    let key = Ed25519KeyPair::from_seed_and_public_key(seed, public);
    Some(key.map(Signer::Ed25519).map_err(|_| KeyError::Damaged))
}

fn openssh_ecdsa(key: &mut Reader<'_>, curve: Curve) -> Read {
    let (_curve, public, secret) = (key.string()?, key.string()?, key.big()?);
    let mut padded = vec![0; curve.length().checked_sub(secret.len())?];
    padded.extend_from_slice(secret);
    let random = SystemRandom::new();
    let key = EcdsaKeyPair::from_private_key_and_public_key(curve.algorithm(), &padded, public, &random);
    Some(key.map(|key| Signer::Ecdsa { curve, key }).map_err(|_| KeyError::Damaged))
}

fn openssh_rsa(key: &mut Reader<'_>) -> Read {
    let public_key = PublicKeyComponents { n: key.big()?, e: key.big()? };
    let (exponent, inverse, first, second) = (key.big()?, key.big()?, key.big()?, key.big()?);
    let (of_first, of_second) = (modulo_one_less(exponent, first)?, modulo_one_less(exponent, second)?);
    let components = KeyPairComponents {
        public_key,
        d: exponent,
        p: first,
        q: second,
        dP: trimmed(&of_first),
        dQ: trimmed(&of_second),
        qInv: inverse,
    };
    Some(RsaKeyPair::from_components(&components).map(rsa).map_err(|_| KeyError::UnknownKind))
}

fn trimmed(number: &[u8]) -> &[u8] {
    &number[number.iter().take_while(|byte| **byte == 0).count()..]
}
