//! `spatial-ladder serve-device`: this machine's devices for programs on other machines.

use super::interrupt;
use anyhow::Context as _;
use spatial_ladder::model::{device, remote};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

/// Lend devices of this machine to other machines, where `--device remote:HOST:PORT` computes on them
///
/// The connection is neither encrypted nor guarded, so only this machine can connect unless --host says otherwise.
/// To reach it from elsewhere, forward the port: `ssh -L 3000:127.0.0.1:3000 USER@THIS-MACHINE`, and there
/// `--device remote:127.0.0.1:3000`.
#[derive(Debug, clap::Args)]
pub struct ServeDeviceArgs {
    /// auto | cpu | wgpu | vulkan | cuda[:n], or several GPUs separated by commas, which others name
    /// remote:HOST:PORT/0, remote:HOST:PORT/1 …
    #[arg(long, visible_alias = "devices", default_value = "auto")]
    pub device: String,
    /// Port to listen on; 0 for any that is free
    #[arg(long, default_value_t = 3000)]
    pub port: u16,
    /// Address to listen on; 0.0.0.0 lets in everyone on the network, so only on one that you trust
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub host: IpAddr,
}

pub fn run(args: &ServeDeviceArgs) -> anyhow::Result<()> {
    let devices = device::open_all(&args.device)?;
    let names: Vec<String> = devices.iter().map(device::describe).collect();
    let address = SocketAddr::new(args.host, args.port);
    let listener = TcpListener::bind(address)
        .with_context(|| format!("cannot listen on {address}; give another --port, or --port 0 for any"))?;
    let address = listener.local_addr()?;
    let host =
        if address.ip().is_unspecified() { "THIS-MACHINE".to_owned() } else { address.ip().to_string() };
    let host = if address.is_ipv6() && !address.ip().is_unspecified() { format!("[{host}]") } else { host };
    for (index, name) in names.iter().enumerate() {
        let place = if index == 0 { String::new() } else { format!("/{index}") };
        eprintln!("Lending {name}: --device remote:{host}:{}{place}", address.port());
    }
    eprintln!("Stop with Ctrl-C.");
    remote::serve(devices, listener, &interrupt::flag())?;
    Ok(())
}
