package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"neutrino/config"
)

// must refuses a truth value other than the one that is in force.
func must(be bool, why string) func(string) error {
	return func(s string) error {
		if got, err := config.Truth(s); err == nil && got == be {
			return nil
		}
		return fmt.Errorf("%s; leave it out or set it to %t", why, be)
	}
}

// always is idle but for the value true.
func always(why string) func(string) string {
	return func(s string) string {
		if got, err := config.Truth(s); err == nil && got {
			return ""
		}
		return "this has no effect: " + why
	}
}

// idle says of any value that it has no effect, and why.
func idle(why string) func(string) string {
	return func(s string) string {
		if s == "" {
			return ""
		}
		return "this has no effect: " + why
	}
}

// unless is idle but for some values, which are what is in force.
func unless(why string, values ...string) func(string) string {
	return func(s string) string {
		if slices.Contains(values, s) {
			return ""
		}
		return "this has no effect: " + why
	}
}

// without refuses any value.
func without(remedy string) func(string) error {
	return func(s string) error {
		if s == "" {
			return nil
		}
		return errors.New(remedy)
	}
}

// others names the parts of a list that are not among what there is.
func others(what string, there ...string) func(string) string {
	return func(s string) string {
		var missing []string
		for _, w := range config.Words(s) {
			if !slices.Contains(there, w) {
				missing = append(missing, w)
			}
		}
		if len(missing) == 0 {
			return ""
		}
		return fmt.Sprintf("%s %s: there is none here, and what it adds to the API is refused", what, strings.Join(missing, ", "))
	}
}

// serverFixed are options of neutron.conf and ml2_conf.ini that operators set and
// that decide nothing here. Those that ask for something else than what is done keep
// the server from starting, the others are warned of.
func serverFixed() []config.Fixed {
	return slices.Concat(pluginsFixed(), identityFixed(), []config.Fixed{
		oneDoor(),
		{Section: "DEFAULT", Name: "l3_ha", Check: must(false, "a router runs on one host at a time, and goes to another when that is lost")},
		{Section: "DEFAULT", Name: "router_distributed", Check: must(false, "a router runs on one host at a time")},
		{Section: "DEFAULT", Name: "vlan_transparent", Check: must(false, "no network passes VLAN tags of instances on")},
		{Section: "DEFAULT", Name: "vlan_qinq", Check: must(false, "no network passes VLAN tags of instances on")},
		{Section: "DEFAULT", Name: "allow_overlapping_ips", Check: must(true, "addresses of different networks may always overlap")},
		{Section: "DEFAULT", Name: "filter_validation", Check: must(true, "filters that do not exist are always refused")},
		{Section: "DEFAULT", Name: "network_auto_schedule", Check: must(true, "networks always get hosts for DHCP")},
		{Section: "DEFAULT", Name: "router_auto_schedule", Check: must(true, "routers always get a host")},
		{Section: "DEFAULT", Name: "use_ssl", Check: must(false, "the API is served without TLS: let a proxy in front of it end TLS")},
		{Section: "DEFAULT", Name: "external_dns_driver", Warn: idle("names are published in the DNS of their network only")},
		{Section: "DEFAULT", Name: "allow_automatic_l3agent_failover", Warn: always("routers of a lost host always move")},
		{Section: "DEFAULT", Name: "allow_automatic_dhcp_failover", Warn: always("networks of a lost host always move")},
		{Section: "DEFAULT", Name: "transport_url", Warn: func(string) string { return "this has no effect: agents connect to [neutrino] feed_listen" }},
		{Section: "DEFAULT", Name: "api_workers", Warn: idle("one process uses all processors")},
		{Section: "DEFAULT", Name: "rpc_workers", Warn: idle("there is no message bus")},
		{Section: "quotas", Name: "quota_driver", Warn: idle("quotas are always exact")},
		{Section: "quotas", Name: "default_quota", Warn: unless("each resource has an option of its own", "-1")},
		{Section: "oslo_policy", Name: "enforce_new_defaults", Check: must(true, "the defaults are those of the roles admin, manager, member, reader and service: write rules that differ into policy_file")},
		{Section: "ml2_type_geneve", Name: "max_header_size", Warn: unless("MTUs leave 30 bytes for the header of Geneve", "30")},
		{Section: "securitygroup", Name: "enable_security_group", Check: must(true, "instances are always filtered: set port_security_enabled of networks or ports to false where they shall not be")},
		{Section: "securitygroup", Name: "firewall_driver", Check: config.OneOf("iptables_hybrid")},
		{Section: "securitygroup", Name: "enable_ipset", Warn: always("remote groups are always sets")},
	})
}

// pluginsFixed are the options by which Neutron is put together.
func pluginsFixed() []config.Fixed {
	core := config.OneOf("ml2", "neutron.plugins.ml2.plugin.Ml2Plugin")
	return []config.Fixed{
		{Section: "DEFAULT", Name: "core_plugin", Check: core},
		{Section: "DEFAULT", Name: "service_plugins", Warn: others("service plugin", "router", "neutron.services.l3_router.l3_router_plugin.L3RouterPlugin",
			"metering", "port_forwarding", "tag", "timestamp", "revisions", "network_ip_availability")},
		{Section: "DEFAULT", Name: "api_extensions_path", Warn: idle("there are no extensions but the ones that GET /v2.0/extensions lists")},
		{Section: "ml2", Name: "mechanism_drivers", Check: openVSwitch, Warn: others("mechanism driver", "openvswitch", "l2population")},
		{Section: "ml2", Name: "extension_drivers", Warn: others("extension driver", "port_security", "dns", "dns_domain_ports", "data_plane_status", "tag_ports_during_bulk_creation")},
	}
}

// openVSwitch refuses a cloud without the one thing that connects instances here.
func openVSwitch(s string) error {
	if slices.Contains(config.Words(s), "openvswitch") {
		return nil
	}
	return errors.New("instances are connected by Open vSwitch: add openvswitch")
}

// identityFixed are options of keystonemiddleware.
func identityFixed() []config.Fixed {
	const identity = "keystone_authtoken"
	memory := idle("what the identity service said of a token is kept in the server's memory, for token_cache_time")
	return []config.Fixed{
		{Section: identity, Name: "memcached_servers", Warn: memory},
		{Section: identity, Name: "memcache_servers", Warn: memory},
		{Section: identity, Name: "auth_section", Check: without("write the service account into [keystone_authtoken] itself")},
		{Section: identity, Name: "certfile", Check: without("the server has no certificate of its own before the identity service: leave it out")},
		{Section: identity, Name: "keyfile", Check: without("the server has no certificate of its own before the identity service: leave it out")},
		{Section: identity, Name: "delay_auth_decision", Check: must(false, "a request without a valid token is always refused")},
		{Section: identity, Name: "auth_version", Check: config.OneOf("", "3", "v3", "v3.0")},
	}
}

// agentFixed are those of an agent's files.
func agentFixed() []config.Fixed {
	return []config.Fixed{
		oneDoor(),
		{Section: "DEFAULT", Name: "agent_mode", Check: config.OneOf("legacy")},
		{Section: "DEFAULT", Name: "transport_url", Warn: func(string) string { return "this has no effect: the agent connects to [neutrino] feed_server" }},
		{Section: "agent", Name: "enable_distributed_routing", Check: must(false, "a router runs on one host at a time")},
		{Section: "agent", Name: "l2_population", Warn: always("the server tells each host where the others' ports are")},
		{Section: "agent", Name: "arp_responder", Warn: always("ARP is answered on the host")},
		{Section: "securitygroup", Name: "enable_security_group", Check: must(true, "instances are always filtered: set port_security_enabled of networks or ports to false where they shall not be")},
		{Section: "securitygroup", Name: "enable_ipset", Warn: always("remote groups are always sets")},
	}
}
