//! The options that say who may connect.

use clap::Args;
use ipnet::IpNet;

use crate::cli::Failure;
use crate::cli::address::ListenAddr;
use crate::net::{Access, Addr, Networks, parse_network};
use crate::units::per_second;

/// Who may connect.
#[derive(Args, Debug)]
pub(super) struct AccessArgs {
    /// Networks of the proxies
    ///
    /// The addresses that may connect to a proxy+ listener over TCP, such as 10.0.0.0/8 or a single address.
    /// Separate several by commas, or repeat the option. Connections from other addresses are closed.
    #[arg(long, value_name = "CIDR", value_delimiter = ',', value_parser = parse_network)]
    proxy_from: Vec<IpNet>,

    /// Clients that may connect [default: all]
    ///
    /// The server resets connections of other clients, and does not answer their datagrams. Write networks such as
    /// 10.0.0.0/8, or single addresses; separate several by commas, or repeat the option. The address that a PROXY
    /// header names counts, or that of the proxy if it names none. Clients of Unix sockets may always connect.
    #[arg(long, value_name = "CIDR", value_delimiter = ',', value_parser = parse_network)]
    allow: Vec<IpNet>,

    /// Clients that may not connect
    ///
    /// The server resets their connections, and does not answer their datagrams, even if --allow has them too.
    #[arg(long, value_name = "CIDR", value_delimiter = ',', value_parser = parse_network)]
    deny: Vec<IpNet>,

    /// New connections a second [default: no limit]
    ///
    /// The server resets connections beyond this rate, such as 100, 10k or 30/m. After a pause, it accepts 100 at
    /// once: fewer at a rate below 100, and as many as come in 100ms at a rate above 1000.
    #[arg(long, value_name = "R", value_parser = per_second)]
    accept_rate: Option<f64>,

    /// The same per IP address [default: no limit]
    ///
    /// It counts IPv6 addresses by their /64 network. A client that comes too often uses up no part of --accept-rate.
    #[arg(long, value_name = "R", value_parser = per_second)]
    accept_rate_per_ip: Option<f64>,
}

impl AccessArgs {
    /// Finds contradictions between these options and the addresses of the listeners.
    ///
    /// # Errors
    ///
    /// The first contradiction, as one of the command line.
    pub(super) fn check(&self, listen: &[ListenAddr]) -> Result<(), Failure> {
        let is_open = |at: &&ListenAddr| at.is_proxied && matches!(at.addr, Addr::Inet { .. });
        match listen.iter().find(is_open) {
            Some(at) if self.proxy_from.is_empty() => Err(Failure::usage(&format!(
                "--listen {at} needs the networks of its proxies: give, say, --proxy-from 10.0.0.0/8"
            ))),
            _ => Ok(()),
        }
    }

    /// The proxies that may name clients.
    pub(super) fn proxies(&self) -> Networks {
        self.proxy_from.iter().copied().collect()
    }

    /// The most connections accepted a second, of all clients and of one address.
    pub(super) fn rates(&self) -> [Option<f64>; 2] {
        [self.accept_rate, self.accept_rate_per_ip]
    }

    /// The clients that may connect.
    pub(super) fn access(&self) -> Access {
        let set = |networks: &[IpNet]| networks.iter().copied().collect();
        Access { allow: set(&self.allow), deny: set(&self.deny) }
    }

    /// What users may not expect of these options.
    pub(super) fn warnings(&self, listen: &[ListenAddr]) -> Vec<String> {
        let mut warnings = Vec::new();
        if !self.proxy_from.is_empty() && !listen.iter().any(|at| at.is_proxied) {
            warnings.push("--proxy-from has no effect: no --listen begins with proxy+".into());
        }
        for (option, networks) in
            [("--proxy-from", &self.proxy_from), ("--allow", &self.allow), ("--deny", &self.deny)]
        {
            let has_more_bits = |network: &&IpNet| network.addr() != network.network();
            warnings.extend(
                networks
                    .iter()
                    .filter(has_more_bits)
                    .map(|network| format!("{option} {network} means all of {}", network.trunc())),
            );
        }
        warnings
    }
}
