// Package plan is the station that says what a host must look like: a pure
// function of the host's view and of the host's own settings, one file for
// each feature. It reads no kernel, no clock and no history.
package plan

import (
	"net/netip"

	"neutrino/host"
	"neutrino/view"
)

// Config is what a host's own configuration contributes to its plan.
type Config struct {
	IntegrationBridge string     // [ovs] integration_bridge, "br-int"
	TunnelBridge      string     // [ovs] tunnel_bridge, "br-tun"
	DatapathType      string     // [ovs] datapath_type, "system" or "netdev"
	LocalIP           netip.Addr // [ovs] local_ip, this host's tunnel endpoint
	WrapPrefix        string     // first word of the chains' wrap prefix, "neutron" or "quantum"
	StatePath         string     // [DEFAULT] state_path, "/var/lib/neutron"
	DHCP              DHCPConfig
	// BridgeMappings is [ovs] bridge_mappings: physical network to provider bridge.
	BridgeMappings map[string]string
	// Metadata is set where this host answers 169.254.169.254.
	Metadata bool
	// IsolatedMetadata is [DEFAULT] enable_isolated_metadata: the DHCP namespace
	// answers where no router does.
	IsolatedMetadata bool
}

// DHCPConfig is the configuration of the DHCP server.
type DHCPConfig struct {
	LeaseDuration int      // [DEFAULT] dhcp_lease_duration, seconds; -1 for infinite
	DNSDomain     string   // [DEFAULT] dns_domain, "openstacklocal"
	DNSServers    []string // [DEFAULT] dnsmasq_dns_servers
	LocalResolv   bool     // [DEFAULT] dnsmasq_local_resolv
	ConfigFile    string   // [DEFAULT] dnsmasq_config_file, "" for none
}

// features are the parts of a plan, in no particular order: each adds items of
// its own to the state and none reads another's.
var features = [...]func(*builder){bridges, localNetworks, tunnels, providers, firewall, dhcp, routers, metering, adverts}

// Host is what the host must look like.
func Host(v *view.Host, c Config) *host.State {
	b := newBuilder(v, c)
	for _, f := range features {
		f(b)
	}
	return b.state
}
