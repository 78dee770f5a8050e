package api

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"neutrino"
	"neutrino/api/wire"
	"neutrino/intent"
	"neutrino/store"
)

// host registers a network host, as the feed does.
func (c *cloud) host(name, zone string) {
	c.t.Helper()
	svc := intent.New(c.db, wideConfig())
	err := svc.Do(context.Background(), intent.Caller{Admin: true}, func(tx *intent.Tx) error {
		return intent.Register(tx, neutrino.Registration{
			Host: name, Zone: zone, StartedAt: time.Now(), TunnelIP: netip.MustParseAddr("192.0.2.1"), TunnelTypes: []string{"gre"}, BridgeMappings: map[string]string{"physnet1": "br-ex"},
			Services: []string{neutrino.AgentOVS, neutrino.AgentDHCP, neutrino.AgentL3},
		})
	})
	if err != nil {
		c.t.Fatal(err)
	}
}

// agentOf is the id of a host's agent of a type.
func (c *cloud) agentOf(host, typ string) string {
	c.t.Helper()
	for a := range store.By(c.db.Snapshot(), store.AgentsByHost, host) {
		if a.AgentType == typ {
			return string(a.ID)
		}
	}
	c.t.Fatalf("no %s on %s", typ, host)
	return ""
}

func TestAnOperatorMovesRoutersAndNetworks(t *testing.T) {
	c := newCloud(t)
	c.host("net1", "west")
	r := c.routed()
	c.host("net2", "east")
	for _, row := range []struct{ typ, below, list, key, object, agents string }{
		{neutrino.AgentL3, "l3-routers", "routers", "router_id", r.router, "/v2.0/routers/" + r.router + "/l3-agents"},
		{neutrino.AgentDHCP, "dhcp-networks", "networks", "network_id", r.network, "/v2.0/networks/" + r.network + "/dhcp-agents"},
	} {
		one, two := c.agentOf("net1", row.typ), c.agentOf("net2", row.typ)
		below := func(agent string) string { return "/v2.0/agents/" + agent + "/" + row.below }
		holds := func(agent string) string { return column1(c.get(below(agent)+"?fields=id").list(row.list), "id") }
		body := fmt.Sprintf(`{%q:%q}`, row.key, row.object)
		if !strings.Contains(holds(one), row.object) || holds(two) != "" {
			t.Fatalf("%s: net1 has %s, net2 has %s", row.below, holds(one), holds(two))
		}
		got := c.get(row.agents).list("agents")
		if column1(got, "id") != one || got[0]["alive"] != true {
			t.Errorf("%s: %v", row.agents, got)
		}
		if _, has := got[0]["ha_state"]; has != (row.typ == neutrino.AgentL3) {
			t.Errorf("%s shows %s", row.agents, keys(got[0]))
		}
		if got := column1(c.get(row.agents+"?host=net2").list("agents"), "id"); got != "" {
			t.Errorf("another host serves: %s", got)
		}
		c.do("DELETE", below(two)+"/"+row.object, "").want(409)
		c.do("DELETE", below(one)+"/"+row.object, "{}").want(400)
		c.do("DELETE", below(one)+"/"+row.object, "").want(204)
		if strings.Contains(holds(one), row.object) {
			t.Errorf("%s: net1 still has it", row.below)
		}
		// Another host may have taken it over at once; it goes to the second anyway.
		for _, agent := range []string{one, two} {
			if strings.Contains(holds(agent), row.object) {
				c.do("DELETE", below(agent)+"/"+row.object, "").want(204)
			}
		}
		if got := c.do("POST", below(two), body).want(201).text; got != "null" {
			t.Errorf("answer %q", got)
		}
		if holds(two) != row.object {
			t.Errorf("%s: net2 has %s", row.below, holds(two))
		}
		c.refusesSchedules(below(two), body, row.key)
		if got := c.get(below(c.agentOf("net2", neutrino.AgentOVS))).list(row.list); len(got) != 0 {
			t.Errorf("an Open vSwitch agent has %v", got)
		}
	}
	if got := fmt.Sprint(c.get("/v2.0/routers/" + r.router).one()["availability_zones"]); got != "[east]" {
		t.Errorf("the router is in the zones %s", got)
	}
}

// refusesSchedules sends what must not work.
func (c *cloud) refusesSchedules(path, body, key string) {
	c.t.Helper()
	c.do("POST", path, `{}`).fails(400, wire.TypeBadRequest, key)
	c.do("POST", path, fmt.Sprintf(`{%q:"x"}`, key)).fails(400, wire.TypeBadRequest, "not a valid UUID")
	c.do("POST", path, fmt.Sprintf(`{%q:"11111111-2222-4333-8444-555555555555"}`, key)).want(404)
	c.do("POST", path, `{"x":"y"}`).fails(400, wire.TypeBadRequest, "Unrecognized")
	c.do("POST", strings.Replace(path, "/agents/", "/agents/0", 1), body).want(404)
	member := []string{"X-Roles", "member"}
	c.get(path, member...).fails(403, typePolicy, "rule:get_")
	c.do("POST", path, body, member...).fails(403, typePolicy, "rule:create_")
	c.do("DELETE", path+"/x", "", member...).fails(403, typePolicy, "rule:delete_")
	c.get(strings.Replace(path, "/agents/", "/agents/0", 1)).fails(404, "AgentNotFound", "")
}

func TestAgentsOfAnObjectAreForAdmins(t *testing.T) {
	c := newCloud(t)
	r := c.routed()
	for _, path := range []string{"/v2.0/routers/" + r.router + "/l3-agents", "/v2.0/networks/" + r.network + "/dhcp-agents"} {
		c.get(path, "X-Roles", "member").fails(403, typePolicy, "rule:get_")
		c.get(path, "X-Roles", "member", "X-Project-Id", "bob").want(404)
	}
}

func TestAddressesAreCounted(t *testing.T) {
	c := newCloud(t)
	r := c.routed()
	six := c.subnet(r.network, "fd00::/64")
	c.port(r.network, fmt.Sprintf(`,"fixed_ips":[{"subnet_id":%q},{"subnet_id":%q}]`, r.inside, r.inside))
	got := c.get("/v2.0/network-ip-availabilities/" + r.network)
	n := got.want(200).one()
	if keys(n) != "network_id network_name project_id subnet_ip_availability tenant_id total_ips used_ips" || n["network_name"] != "private" {
		t.Errorf("%v", n)
	}
	// 10.0.0.0/24 has 253 beside the gateway, fd00::/64 has 2^64 less two.
	if !strings.Contains(got.text, `"total_ips":18446744073709551867,"used_ips":`) && !strings.Contains(got.text, `"total_ips":18446744073709551868,"used_ips":`) {
		t.Errorf("%s", got.text)
	}
	for _, s := range n["subnet_ip_availability"].([]any) {
		s := s.(map[string]any)
		if keys(s) != "cidr ip_version subnet_id subnet_name total_ips used_ips" {
			t.Errorf("subnet %v", s)
		}
		if s["subnet_id"] == r.inside && (s["total_ips"] != 253.0 || s["used_ips"] != 3.0) {
			t.Errorf("inside %v", s)
		}
	}
	count := func(query string) int {
		t.Helper()
		return len(c.get("/v2.0/network-ip-availabilities" + query).list("network_ip_availabilities"))
	}
	c.network("empty")
	for query, want := range map[string]int{"": 3, "?ip_version=4": 2, "?ip_version=6": 1, "?network_id=" + r.network: 1,
		"?network_name=empty": 1, "?network_name=empty&ip_version=4": 0, "?tenant_id=default": 3, "?project_id=x": 0} {
		if got := count(query); got != want {
			t.Errorf("%q finds %d, want %d", query, got, want)
		}
	}
	c.get("/v2.0/network-ip-availabilities?x=1").fails(400, wire.TypeBadRequest, "['x'] is invalid attribute for filtering")
	c.get("/v2.0/network-ip-availabilities?ip_version=5").want(400)
	c.get("/v2.0/network-ip-availabilities/"+six).fails(404, "NetworkNotFound", "")
	if got := c.get("/v2.0/network-ip-availabilities", "X-Roles", "member").list("network_ip_availabilities"); len(got) != 0 {
		t.Errorf("a member sees %v", got)
	}
	c.get("/v2.0/network-ip-availabilities/"+r.network, "X-Roles", "member").want(404)
}

func TestPoolsProvidersAndZones(t *testing.T) {
	c := newCloud(t)
	r := c.routed()
	c.subnet(r.external, "fd00::/64")
	pools := c.get("/v2.0/floatingip_pools", "X-Project-Id", "alice", "X-Roles", "member").list("floatingip_pools")
	want := fmt.Sprintf("[map[cidr:203.0.113.0/24 network_id:%s project_id:alice subnet_id:%s subnet_name:public-subnet tenant_id:alice]]", r.external, r.outside)
	if got := fmt.Sprint(pools); got != want {
		t.Errorf("pools %s", got)
	}
	if got := c.get("/v2.0/floatingip_pools?subnet_name=x").list("floatingip_pools"); len(got) != 0 {
		t.Errorf("%v", got)
	}
	if got := c.get("/v2.0/service-providers").want(200).text; got != `{"service_providers":[{"service_type":"L3_ROUTER_NAT","name":"single_node","default":true}]}` {
		t.Error(got)
	}
	c.host("net1", "west")
	if got := column1(c.get("/v2.0/availability_zones?name=west").list("availability_zones"), "resource"); got != "network router" {
		t.Errorf("zones of %s", got)
	}
}
