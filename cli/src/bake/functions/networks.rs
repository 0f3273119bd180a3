//! Networks: addresses and prefixes, of both kinds.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Given, Wrong, blame, exactly, number_of, text_of, whole_of};
use crate::bake::value::Value;

/// A network: its address as a number, how long its prefix is, and how long addresses are.
#[derive(Clone, Copy)]
struct Network {
    address: u128,
    prefix: u32,
    bits: u32,
}

impl Network {
    fn of(arguments: &[Value]) -> Result<Self, Wrong> {
        let text = text_of(arguments, 0)?;
        let wrong = || blame(0, format!("`{text}` is no network: write 10.1.0.0/16"));
        let (address, prefix) = text.split_once('/').ok_or_else(wrong)?;
        let (address, bits) = match address.parse().map_err(|_| wrong())? {
            IpAddr::V4(address) => (u128::from(u32::from(address)), 32),
            IpAddr::V6(address) => (u128::from(address), 128),
        };
        let prefix = prefix.parse().ok().filter(|prefix| *prefix <= bits).ok_or_else(wrong)?;
        let network = Self { address, prefix, bits };
        Ok(Self { address: address & !network.host_mask(), ..network })
    }

    /// The bits that are a host's.
    fn host_mask(self) -> u128 {
        1_u128.checked_shl(self.bits - self.prefix).map_or(u128::MAX, |bit| bit - 1)
    }

    fn show(self, address: u128) -> String {
        if self.bits == 32 {
            Ipv4Addr::from(u32::try_from(address).unwrap_or(u32::MAX)).to_string()
        } else {
            Ipv6Addr::from(address).to_string()
        }
    }

    fn longer(self, bits: i64, argument: usize) -> Result<Self, Wrong> {
        let prefix = u32::try_from(bits).ok().and_then(|bits| self.prefix.checked_add(bits));
        let prefix = prefix.filter(|prefix| *prefix <= self.bits);
        let prefix =
            prefix.ok_or_else(|| blame(argument, format!("a prefix is not longer than {} bits", self.bits)))?;
        Ok(Self { prefix, ..self })
    }

    fn text(self) -> Value {
        Value::text(format!("{}/{}", self.show(self.address), self.prefix))
    }
}

pub(super) fn host(arguments: &[Value]) -> Given {
    exactly::<2>(arguments)?;
    let network = Network::of(arguments)?;
    let number = number_of(arguments, 1)?.int().ok_or_else(|| blame(1, "this is not a whole number"))?;
    // Negative numbers count from the end.
    let host = if number < 0 {
        network.host_mask().checked_sub(number.unsigned_abs() - 1)
    } else {
        Some(number.unsigned_abs())
    };
    let host = host.filter(|host| *host <= network.host_mask());
    let host = host.ok_or_else(|| blame(1, "the network has no such host"))?;
    Ok(Value::text(network.show(network.address | host)))
}

pub(super) fn netmask(arguments: &[Value]) -> Given {
    exactly::<1>(arguments)?;
    let network = Network::of(arguments)?;
    if network.bits != 32 {
        return Err(blame(0, "only IPv4 has masks"));
    }
    Ok(Value::text(network.show(u128::from(u32::MAX) & !network.host_mask())))
}

pub(super) fn subnet(arguments: &[Value]) -> Given {
    exactly::<3>(arguments)?;
    let network = Network::of(arguments)?;
    let inner = network.longer(whole_of(arguments, 1)?, 1)?;
    let number = u128::try_from(whole_of(arguments, 2)?).map_err(|_| blame(2, "this is no number of a network"))?;
    let last = (network.host_mask() ^ inner.host_mask()).checked_shr(inner.bits - inner.prefix).unwrap_or(0);
    if number > last {
        return Err(blame(2, format!("these bits number networks up to {last}")));
    }
    let offset = number.checked_shl(inner.bits - inner.prefix).unwrap_or(0);
    Ok(Network { address: network.address | offset, ..inner }.text())
}

pub(super) fn subnets(arguments: &[Value]) -> Given {
    let network = Network::of(arguments)?;
    let (mut all, mut next) = (Vec::new(), Some(network.address));
    for argument in 1..arguments.len() {
        let inner = network.longer(whole_of(arguments, argument)?, argument)?;
        let full = || blame(argument, "there is no room left for it");
        let mask = inner.host_mask();
        // Each begins at a multiple of its own size.
        let address = next.and_then(|next| next.checked_add(mask)).ok_or_else(full)? & !mask;
        if address & !network.host_mask() != network.address {
            return Err(full());
        }
        all.push(Network { address, ..inner }.text());
        next = (address | mask).checked_add(1);
    }
    Ok(Value::List(all))
}
