//! TLS: ring, the system's certificate authorities and the configured ones; or no check at all for insecure hosts.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig as Tls, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::Error;
use crate::ClientConfig;

/// Checks certificates.
pub(super) fn strict(config: &ClientConfig) -> Result<Tls, Error> {
    let mut roots = RootCertStore::empty();
    // A machine without any is fine until a certificate must be checked; then the error says what is missing.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots.extend(configured(config)?.roots);
    let config = builder()?.with_root_certificates(roots).with_no_client_auth();
    Ok(with_protocols(config))
}

/// The authorities that the user has named.
pub(super) fn configured(config: &ClientConfig) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for path in &config.extra_cas {
        let bad = |problem: String| Error::Authorities { path: path.display().to_string(), problem };
        let mut any = false;
        for certificate in CertificateDer::pem_file_iter(path).map_err(|error| bad(error.to_string()))? {
            let certificate = certificate.map_err(|error| bad(error.to_string()))?;
            roots.add(certificate).map_err(|error| bad(error.to_string()))?;
            any = true;
        }
        if !any {
            return Err(bad("there is no PEM certificate in it".to_owned()));
        }
    }
    Ok(roots)
}

/// Takes any certificate.
pub(super) fn lax() -> Result<Tls, Error> {
    let verifier = Arc::new(AnyCertificate(provider()));
    let config = builder()?.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    Ok(with_protocols(config))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn builder() -> Result<rustls::ConfigBuilder<Tls, rustls::WantsVerifier>, Error> {
    Tls::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Setup { problem: error.to_string() })
}

fn with_protocols(mut config: Tls) -> Tls {
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}

/// For hosts the user called insecure. Signatures are still checked: a broken handshake is broken.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
