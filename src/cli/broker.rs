//! `broker`: a local nats-server until Ctrl-C; and the search for a nats-server, shared with `--local-broker`.

use std::io::{self, Write as _};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use crate::cli::connection::parse_target;
use crate::cli::error::CliError;
use crate::cli::exit;
use crate::cli::interrupt::{Unread, run_interruptible};
use crate::cli::output::write_stdout;
use crate::net::managed_server::{
    FindServer, ManagedServer, ManagedServerConfig, Port, Ports, find_server,
};
use crate::net::target::Target;

/// Flags of `broker`.
#[derive(Debug, Args)]
pub(crate) struct BrokerArgs {
    /// Port of the WebSocket listener; 0 for any that is free
    #[arg(long, value_name = "PORT", default_value_t = 8443)]
    websocket_port: u16,
    /// Port of the NATS client listener; 0 for any that is free
    #[arg(long, value_name = "PORT", default_value_t = 4222)]
    client_port: u16,
    /// Port of the monitoring listener; 0 for any that is free
    #[arg(long, value_name = "PORT", default_value_t = 8222)]
    monitoring_port: u16,
    /// The nats-server to run [default: `NATS_SERVER_BIN`, then PATH, then .tools]
    #[arg(long, value_name = "FILE")]
    nats_server: Option<PathBuf>,
}

fn port(number: u16) -> Port {
    if number == 0 {
        Port::Free
    } else {
        Port::Fixed(number)
    }
}

pub(crate) fn run(args: &BrokerArgs) -> Result<u8, CliError> {
    let mut config = server_config(args.nats_server.clone())?;
    config.jetstream = true;
    config.ports = Ports {
        client: port(args.client_port),
        websocket: port(args.websocket_port),
        monitoring: Some(port(args.monitoring_port)),
    };
    run_interruptible(Unread::IsIgnored, async |interrupt| {
        let mut server = start(config).await?;
        let monitoring = server
            .monitoring_url()
            .map(|url| format!("monitoring  {url}\n"))
            .unwrap_or_default();
        write_stdout(
            format!(
                "nats-server {} is running; Ctrl-C ends it\nwebsocket   {}\nclients     {}\n{monitoring}",
                server.version(),
                server.websocket_url(),
                server.client_url(),
            )
            .as_bytes(),
        )?;
        // Both are cancel-safe.
        tokio::select! {
            () = interrupt.stop.cancelled() => {}
            status = server.wait() => {
                let log = server.log_tail();
                let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
                return Err(CliError::new(exit::UNREACHABLE, format!("nats-server ended by itself: {status}"))
                    .hint(format!("its log ends with: {log}")));
            }
        }
        server.stop().await.context("cannot stop nats-server")?;
        Ok(exit::PASSED)
    })
}

/// The configuration of a server on free ports, found on this machine.
fn server_config(explicit: Option<PathBuf>) -> Result<ManagedServerConfig, CliError> {
    let binary = find_server(FindServer {
        explicit,
        env_bin: std::env::var_os("NATS_SERVER_BIN").map(PathBuf::from),
        path_env: std::env::var_os("PATH"),
        tools_dir: None,
        executable: std::env::current_exe().ok(),
    })
    .map_err(|error| CliError::new(exit::UNREACHABLE, error.to_string()))?;
    let mut config = ManagedServerConfig::new(binary);
    // The child must not outlive us, even when we are killed outright.
    config.supervisor = std::env::current_exe().ok();
    Ok(config)
}

async fn start(config: ManagedServerConfig) -> Result<ManagedServer, CliError> {
    ManagedServer::start(config).await.map_err(|error| {
        CliError::new(exit::UNREACHABLE, "cannot start a local nats-server").because(&error)
    })
}

/// Runs work beside a server of this run's own where `--local-broker` asks for one; the work gets its WebSocket.
pub(crate) async fn beside_local_broker<T>(
    is_wanted: bool,
    work: impl AsyncFnOnce(Option<Target>) -> Result<T, CliError>,
) -> Result<T, CliError> {
    if !is_wanted {
        return work(None).await;
    }
    let server = start(server_config(None)?).await?;
    let target = parse_target(server.websocket_url())?;
    let done = work(Some(target)).await;
    if let Err(error) = server.stop().await {
        // What was measured is not lost for it; the kernel ends the server with us.
        let warning = CliError::internal("cannot stop nats-server").because(&error);
        // There is nowhere left to say that standard error is closed.
        let _ = io::stderr()
            .lock()
            .write_all(warning.render(false).as_bytes());
    }
    done
}
