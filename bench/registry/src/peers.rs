//! The registries, and nginx, which serves the same bytes as files: started on free ports, stopped when dropped.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::http::Client;
use crate::processors;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Software {
    Wharf,
    Distribution,
    Zot,
    Nginx,
}

impl Software {
    pub fn name(self) -> &'static str {
        match self {
            Self::Wharf => "wharf",
            Self::Distribution => "distribution",
            Self::Zot => "zot",
            Self::Nginx => "nginx",
        }
    }
}

/// A server that runs.
pub struct Peer {
    pub software: Software,
    pub address: SocketAddr,
    /// The same files over TLS, for those that are asked so.
    pub tls: Option<SocketAddr>,
    pub directory: PathBuf,
    /// Held so that they end with it.
    servers: Vec<Child>,
}

impl Peer {
    /// Starts a server over a directory of its own, and waits until it answers.
    pub fn start(software: Software, binary: &Path, work: &Path) -> Result<Self, String> {
        let directory = work.join(software.name());
        fs::create_dir_all(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
        let address = free_port()?;
        let mut peer = Self { software, address, tls: None, directory, servers: Vec::new() };
        match software {
            Software::Wharf => {
                peer.run(wharf(binary, &peer.directory, address))?;
                let tls = free_port()?;
                let (certificate, key) = certificate(work)?;
                let mut command = wharf(binary, &peer.directory, tls);
                command.arg("--tls-cert").arg(certificate).arg("--tls-key").arg(key);
                peer.run(command)?;
                peer.tls = Some(tls);
            }
            Software::Distribution => peer.distribution(binary)?,
            Software::Zot => peer.zot(binary)?,
            Software::Nginx => peer.nginx(binary, work)?,
        }
        peer.wait()?;
        Ok(peer)
    }

    /// A Wharf over a store of its own that is filled first, and that collects garbage then, as a server does by itself: each
    /// second here, and at once what nobody needs.
    pub fn collecting(
        binary: &Path,
        work: &Path,
        fill: impl FnOnce(&Self) -> Result<(), String>,
    ) -> Result<Self, String> {
        let directory = work.join("collecting");
        if directory.exists() {
            fs::remove_dir_all(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
        }
        let peer = |directory| -> Result<Self, String> {
            Ok(Self { software: Software::Wharf, address: free_port()?, tls: None, directory, servers: Vec::new() })
        };
        let mut filled = peer(directory.clone())?;
        let never = filled.configured("never.toml", "[serve]\ngc-interval = 0\n")?;
        filled.serve(binary, &never)?;
        fill(&filled)?;
        drop(filled);
        let mut collects = peer(directory)?;
        let always = collects.configured("always.toml", "[serve]\ngc-interval = 1\ngc-grace = 0\n")?;
        collects.serve(binary, &always)?;
        Ok(collects)
    }

    fn serve(&mut self, binary: &Path, config: &Path) -> Result<(), String> {
        let mut command = wharf(binary, &self.directory, self.address);
        command.arg("--config").arg(config);
        self.run(command)?;
        self.wait()
    }

    /// The process that answers on `address`; the last one answers on `tls`.
    pub fn pid(&self) -> u32 {
        self.servers.first().map_or(0, Child::id)
    }

    pub fn tls_pid(&self) -> u32 {
        self.servers.last().map_or(0, Child::id)
    }

    fn run(&mut self, mut command: Command) -> Result<(), String> {
        let log = File::create(self.directory.with_extension(format!("log{}", self.servers.len())));
        let log = log.map_err(|error| format!("a log: {error}"))?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn().map_err(|error| format!("start {command:?}: {error}"))?;
        self.servers.push(child);
        Ok(())
    }

    fn configured(&mut self, name: &str, text: &str) -> Result<PathBuf, String> {
        let path = self.directory.with_extension(name);
        fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(path)
    }

    fn distribution(&mut self, binary: &Path) -> Result<(), String> {
        let text = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\nhttp: {{addr: {}}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}, delete: {{enabled: true}}}}\n",
            self.address,
            self.directory.display()
        );
        let file = self.configured("yml", &text)?;
        let mut command = processors::server(binary);
        command.arg("serve").arg(file).env("OTEL_TRACES_EXPORTER", "none");
        self.run(command)
    }

    fn zot(&mut self, binary: &Path) -> Result<(), String> {
        let text = format!(
            r#"{{"storage":{{"rootDirectory":"{}"}},"http":{{"address":"{}","port":"{}"}},"log":{{"level":"error"}}}}"#,
            self.directory.display(),
            self.address.ip(),
            self.address.port()
        );
        let file = self.configured("json", &text)?;
        let mut command = processors::server(binary);
        command.arg("serve").arg(file);
        self.run(command)
    }

    fn nginx(&mut self, binary: &Path, work: &Path) -> Result<(), String> {
        let tls = free_port()?;
        let (certificate, key) = certificate(work)?;
        let text = format!(
            "daemon off; master_process off; error_log stderr; pid {pid}; user root;\n\
             events {{ worker_connections 4096; }}\n\
             http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; root {root};\n\
             default_type application/octet-stream;\n\
             server {{ listen {plain}; }}\n\
             server {{ listen {tls} ssl; ssl_certificate {certificate}; ssl_certificate_key {key}; }} }}\n",
            pid = self.directory.with_extension("pid").display(),
            root = self.directory.display(),
            plain = self.address,
            certificate = certificate.display(),
            key = key.display(),
        );
        let file = self.configured("conf", &text)?;
        let mut command = processors::server(binary);
        command.arg("-c").arg(file);
        self.run(command)?;
        self.tls = Some(tls);
        Ok(())
    }

    fn wait(&self) -> Result<(), String> {
        let begun = Instant::now();
        for address in [Some(self.address), self.tls].into_iter().flatten() {
            while std::net::TcpStream::connect(address).is_err() {
                if begun.elapsed() > Duration::from_secs(20) {
                    return Err(format!(
                        "{} does not listen; see {}.log0",
                        self.software.name(),
                        self.directory.display()
                    ));
                }
                sleep(Duration::from_millis(20));
            }
        }
        Ok(())
    }

    pub fn client(&self) -> Result<Client, String> {
        Client::new(self.address)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        for server in &mut self.servers {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

/// A Wharf that serves a store; several may serve the same.
pub fn wharf(binary: &Path, store: &Path, address: SocketAddr) -> Command {
    let mut command = processors::server(binary);
    command.arg("serve").arg("--listen").arg(address.to_string()).arg("--store").arg(store);
    command
}

pub fn free_port() -> Result<SocketAddr, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| format!("a free port: {error}"))?;
    listener.local_addr().map_err(|error| format!("a free port: {error}"))
}

/// A certificate that nobody trusts, and its key.
fn certificate(work: &Path) -> Result<(PathBuf, PathBuf), String> {
    let (certificate, key) = (work.join("certificate.pem"), work.join("key.pem"));
    if !certificate.exists() {
        let mut command = Command::new("openssl");
        command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]);
        command.args(["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]);
        command.arg("-keyout").arg(&key).arg("-out").arg(&certificate).stderr(Stdio::null());
        let made = command.status().map_err(|error| format!("start openssl: {error}"))?;
        if !made.success() {
            return Err("openssl made no certificate".to_owned());
        }
    }
    Ok((certificate, key))
}
