//! An endpoint behind TLS, with a certificate that nobody has signed.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::Origin;
use super::wire::{Wire, soon};

impl Origin {
    /// The next connection, after its handshake.
    pub(crate) async fn tls(&self) -> Wire<TlsStream<TcpStream>> {
        let made = rcgen::generate_simple_self_signed(["a".to_owned()]).expect("a certificate");
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .expect("its own key");
        let stream = self.accept().await.stream;
        Wire::new(soon(TlsAcceptor::from(Arc::new(config)).accept(stream)).await.expect("a handshake"))
    }
}
