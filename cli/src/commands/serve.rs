//! `wharf serve`: the store as a registry.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use wharf_registry::background::Background;
use wharf_registry::gc::{Collector, Lease, Policy, Report};
use wharf_registry::http::{Authenticator, Limits, Notice, Registry, Timeouts, acceptor, serve};
use wharf_registry::repo::{Expired, Removal, Repositories, Retention};

use crate::args::{Serve, ServeOptions};
use crate::failure::{EXIT_INTERRUPTED, Failure};
use crate::session::Session;
use crate::stores::OpenStore;
use crate::waiting::let_go_of_the_start;

/// Where the server listens when nobody says.
const LISTEN: &str = "127.0.0.1:5000";

/// Uploads that nobody continues are forgotten after this.
const UPLOAD_EXPIRY: Duration = Duration::from_secs(24 * 3600);

/// Addresses that clients are sent to are good for this long: more than the slowest layer takes to begin with its last
/// range.
const REDIRECT: Duration = Duration::from_mins(30);

/// How often is looked for such uploads.
const PURGE_EVERY: Duration = Duration::from_secs(600);

/// How often the retention rules are applied.
const RETAIN_EVERY: Duration = Duration::from_secs(3600);

/// How often garbage is collected.
const COLLECT_EVERY: Duration = Duration::from_secs(3600);

/// How long a server waits after [`Policy::at_once`] candidates for collection. Nobody waits for them, and requests that
/// arrive while they are looked at wait for the processor and the disk: a hundred a second, four hundred thousand an hour,
/// are enough.
const COLLECTION_PAUSE: Duration = Duration::from_millis(256);

/// How long a server that collects is believed to do so without saying it again.
const LEASE: Duration = Duration::from_secs(900);

/// A server that listens.
pub struct Server {
    /// The address, with the port the system chose where it was 0.
    pub address: SocketAddr,
    /// Whether it speaks TLS.
    pub tls: bool,
    listener: TcpListener,
    acceptor: Option<tokio_rustls::TlsAcceptor>,
    registry: Registry,
    repositories: Repositories,
    upload_expiry: Duration,
    retention_interval: Duration,
    collection: Collection,
    timeouts: Timeouts,
}

/// How garbage is collected while serving.
#[derive(Clone, Copy, Debug)]
struct Collection {
    /// Zero is never.
    every: Duration,
    policy: Policy,
}

impl Collection {
    fn new(config: &crate::config::Serve) -> Self {
        let every = config.gc_interval.map_or(COLLECT_EVERY, Duration::from_secs);
        Self { every, policy: collection_policy(config) }
    }
}

/// How a server collects garbage.
pub fn collection_policy(config: &crate::config::Serve) -> Policy {
    let grace = config.gc_grace.map_or(Policy::default().grace, Duration::from_secs);
    let upload_expiry = config.upload_expiry.map_or(UPLOAD_EXPIRY, Duration::from_secs);
    Policy { grace, upload_expiry, pause: COLLECTION_PAUSE, ..Policy::default() }
}

/// Runs until SIGINT or SIGTERM.
pub async fn run(session: &Session, command: Serve) -> Result<(), Failure> {
    let store = OpenStore::open(session).await?;
    let server = Server::bind(session, &command.options, store.repositories.clone()).await?;
    let scheme = if server.tls { "https" } else { "http" };
    if !session.global.quiet {
        eprintln!("serving {} on {scheme}://{}", store.place, server.address);
    }
    server.run(stop_signal()?).await
}

impl Server {
    /// Binds the address, and reads certificates and users.
    pub async fn bind(session: &Session, options: &ServeOptions, repositories: Repositories) -> Result<Self, Failure> {
        let config = &session.config.serve;
        let listen = options.listen.as_deref().or(config.listen.as_deref()).unwrap_or(LISTEN);
        let cert = options.tls_cert.as_ref().or(config.tls_cert.as_ref());
        let key = options.tls_key.as_ref().or(config.tls_key.as_ref());
        let acceptor = match (cert, key) {
            (Some(cert), Some(key)) => {
                Some(acceptor(cert, key).map_err(|error| Failure::new("TLS cannot be served").because(error))?)
            }
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => {
                return Err(Failure::usage("TLS needs both a certificate and its key")
                    .hint("give --tls-cert FILE and --tls-key FILE"));
            }
        };
        let anonymous_pull = options.anonymous_pull || config.anonymous_pull.unwrap_or(false);
        let authenticator = match options.htpasswd.as_ref().or(config.htpasswd.as_ref()) {
            Some(path) => Some(
                Authenticator::open(path, anonymous_pull, &*repositories.store().ids)
                    .map_err(|error| Failure::new("logins cannot be checked").because(error))?,
            ),
            None => None,
        };
        let defaults = Limits::default();
        let limits = Limits {
            manifest: config.max_manifest_size.and_then(|size| size.try_into().ok()).unwrap_or(defaults.manifest),
            delete: config.delete.unwrap_or(defaults.delete),
            notice: config.notice.as_deref().map(notice).transpose()?,
            redirect: (options.redirect || config.redirect.unwrap_or(false)).then_some(REDIRECT),
            ..defaults
        };
        let served = repositories.clone().with_least_chunk(config.chunk_min_length.unwrap_or(0));
        let drain = config.drain_timeout.map_or(Timeouts::default().drain, Duration::from_secs);
        let listener = bind(listen).await?;
        let address = listener.local_addr().map_err(|error| Failure::new("no address to listen on").because(error))?;
        Ok(Self {
            address,
            tls: acceptor.is_some(),
            listener,
            acceptor,
            registry: Registry::new(served, authenticator, limits),
            repositories,
            upload_expiry: config.upload_expiry.map_or(UPLOAD_EXPIRY, Duration::from_secs),
            retention_interval: config.retention_interval.map_or(RETAIN_EVERY, Duration::from_secs),
            collection: Collection::new(config),
            timeouts: Timeouts { drain, ..Timeouts::default() },
        })
    }

    /// Serves until `stop` is ready and transfers under way have ended.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), Failure> {
        let retain = retain(self.repositories.clone(), self.retention_interval);
        let purge = purge(self.repositories.clone(), self.upload_expiry);
        let collect = collect(self.repositories, self.collection);
        let background = Background::start("housekeeping")
            .map_err(|error| Failure::new("no thread for housekeeping can be started").because(error))?;
        let housekeeping = background.handle().spawn(async { tokio::join!(retain, purge, collect) });
        let_go_of_the_start();
        let serve = serve(self.listener, self.acceptor, self.registry, self.timeouts, stop);
        tokio::select! {
            served = serve => served.map_err(|error| Failure::new("the server stopped").because(error)),
            // It never ends but by a panic, of which this is the message.
            ended = housekeeping => ended.map(|_| ()).map_err(|panic| Failure::new("the server stopped").because(panic)),
        }
    }
}

/// What is said to everybody.
fn notice(text: &str) -> Result<Notice, Failure> {
    text.parse().map_err(|error| {
        Failure::usage("the notice cannot be sent")
            .because(error)
            .hint("it is `notice` below `[serve]` in the configuration")
    })
}

async fn bind(listen: &str) -> Result<TcpListener, Failure> {
    TcpListener::bind(listen).await.map_err(|error| {
        let hint = match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                "another server is listening there; choose another with --listen ADDR:PORT"
            }
            std::io::ErrorKind::PermissionDenied => {
                "ports below 1024 need root; choose another with --listen ADDR:PORT"
            }
            _ => "an address is written 127.0.0.1:5000, [::1]:5000 or 0.0.0.0:5000",
        };
        Failure::new(format!("could not listen on {listen}")).because(error).hint(hint)
    })
}

/// Forgets abandoned uploads now and then.
async fn purge(repositories: Repositories, age: Duration) {
    let mut every = tokio::time::interval(PURGE_EVERY.min(age.max(Duration::from_secs(1))));
    loop {
        every.tick().await;
        match repositories.purge_uploads(age.as_secs()).await {
            Ok(Expired { uploads: 0, .. }) => {}
            Ok(Expired { uploads, bytes }) => tracing::info!(uploads, bytes, "forgot uploads that nobody continued"),
            Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "could not purge uploads"),
        }
    }
}

/// Applies the retention rules now and then; never, when there are none.
async fn retain(repositories: Repositories, interval: Duration) {
    if !repositories.policy().has_retention() {
        return std::future::pending().await;
    }
    let mut every = tokio::time::interval(interval.max(Duration::from_secs(1)));
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let mut report = |Removal { repository, what, why }: Removal| {
            tracing::info!(%repository, ?what, why, "retention");
        };
        if let Err(error) = repositories.retain(Retention::Apply, &mut report).await {
            tracing::error!(error = &error as &dyn std::error::Error, "retention stopped; it goes on next time");
        }
    }
}

/// Collects garbage now and then, unless another server of the store does. Never ends.
async fn collect(repositories: Repositories, Collection { every, policy }: Collection) {
    if every.is_zero() {
        return std::future::pending().await;
    }
    let lease = Lease::new(repositories.clone());
    let collector = Collector::new(repositories, policy);
    let mut every = tokio::time::interval(every);
    loop {
        every.tick().await;
        match collect_once(&lease, &collector).await {
            Ok(None) => {}
            Ok(Some(Report { blobs, objects, bytes, .. })) if blobs + objects > 0 => {
                tracing::info!(blobs, objects, bytes, "deleted what nobody needs");
            }
            Ok(Some(_)) => {}
            Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "could not collect garbage"),
        }
    }
}

/// `None` when somebody else collects.
async fn collect_once(lease: &Lease, collector: &Collector) -> wharf_registry::repo::Result<Option<Report>> {
    if !lease.take(LEASE).await? {
        return Ok(None);
    }
    let mut renewal = tokio::time::interval(LEASE / 3);
    let mut ignore = |_| {};
    let run = collector.run(&mut ignore);
    tokio::pin!(run);
    let report = loop {
        tokio::select! {
            report = &mut run => break report,
            // Should it be lost, two collect: no harm.
            _ = renewal.tick() => {
                lease.take(LEASE).await?;
            }
        }
    };
    lease.release().await?;
    report.map(Some)
}

/// Ready when the process is told to stop. Whoever says it twice does not want to wait for work to end in order.
pub fn stop_signal() -> Result<impl Future<Output = ()>, Failure> {
    let handler = |kind| signal(kind).map_err(|error| Failure::new("could not wait for signals").because(error));
    let (mut interrupt, mut terminate) = (handler(SignalKind::interrupt())?, handler(SignalKind::terminate())?);
    Ok(async move {
        told(&mut interrupt, &mut terminate).await;
        tokio::spawn(async move {
            told(&mut interrupt, &mut terminate).await;
            std::process::exit(EXIT_INTERRUPTED.into());
        });
    })
}

async fn told(interrupt: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
