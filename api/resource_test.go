package api

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"neutrino"
	"neutrino/api/wire"
	"neutrino/store"
)

// keys are the attributes of an answer, sorted.
func keys(o map[string]any) string {
	var out []string
	for k := range o {
		out = append(out, k)
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func TestTheShapeOfEachResource(t *testing.T) {
	c := newCloud(t)
	net := c.post("/v2.0/networks", `{"network":{"name":"n"}}`)
	sub := c.subnet(net["id"].(string), "10.0.0.5/24")
	port := c.port(net["id"].(string), `,"allowed_address_pairs":[{"ip_address":"1.2.3.4"},{"ip_address":"5.6.7.8/24","mac_address":"FA:16:3E:00:00:09"}]`)
	group := c.post("/v2.0/security-groups", `{"security_group":{"name":"g"}}`)
	for name, row := range map[string]struct {
		got  map[string]any
		want string
	}{
		"network": {net, "admin_state_up availability_zone_hints availability_zones created_at description dns_domain id ipv4_address_scope ipv6_address_scope mtu name port_security_enabled project_id provider:network_type provider:physical_network provider:segmentation_id revision_number router:external shared status subnets tags tenant_id updated_at"},
		"subnet":  {c.get("/v2.0/subnets/" + sub).one(), "allocation_pools cidr created_at description dns_nameservers enable_dhcp gateway_ip host_routes id ip_version ipv6_address_mode ipv6_ra_mode name network_id project_id revision_number service_types subnetpool_id tags tenant_id updated_at"},
		"port":    {port, "admin_state_up allowed_address_pairs binding:host_id binding:profile binding:vif_details binding:vif_type binding:vnic_type created_at data_plane_status description device_id device_owner dns_assignment dns_domain dns_name extra_dhcp_opts fixed_ips id mac_address name network_id port_security_enabled project_id revision_number security_groups status tags tenant_id updated_at"},
		"group":   {group, "created_at description id name project_id revision_number security_group_rules shared stateful tags tenant_id updated_at"},
		"rule":    {group["security_group_rules"].([]any)[0].(map[string]any), "belongs_to_default_sg created_at description direction ethertype id normalized_cidr port_range_max port_range_min project_id protocol remote_group_id remote_ip_prefix revision_number security_group_id tenant_id updated_at"},
	} {
		if got := keys(row.got); got != row.want {
			t.Errorf("%s has\n%s, want\n%s", name, got, row.want)
		}
		if row.got["project_id"] != "default" || row.got["tenant_id"] != "default" {
			t.Errorf("%s is of %v and %v", name, row.got["project_id"], row.got["tenant_id"])
		}
	}
	shown := c.get("/v2.0/networks/" + net["id"].(string)).one()
	if fmt.Sprint(shown["subnets"]) != "["+sub+"]" || shown["provider:physical_network"] != nil || shown["status"] != "ACTIVE" {
		t.Errorf("network %v", shown)
	}
	if got := c.get("/v2.0/subnets/" + sub).one(); got["cidr"] != "10.0.0.0/24" || got["ipv6_ra_mode"] != nil {
		t.Errorf("subnet %v", got)
	}
	want := fmt.Sprintf("[map[ip_address:1.2.3.4 mac_address:%s] map[ip_address:5.6.7.0/24 mac_address:fa:16:3e:00:00:09]]", port["mac_address"])
	if got := fmt.Sprint(port["allowed_address_pairs"]); got != want {
		t.Errorf("pairs %s, want %s", got, want)
	}
	if fmt.Sprint(port["binding:vif_details"]) != "map[]" || port["binding:vif_type"] != "unbound" || fmt.Sprint(port["binding:profile"]) != "map[]" {
		t.Errorf("binding of an unbound port %v", port)
	}
}

func TestMembersSeeAndDoLess(t *testing.T) {
	c := newCloud(t)
	alice := []string{"X-Project-Id", "alice", "X-Roles", "member"}
	bob := []string{"X-Project-Id", "bob", "X-Roles", "member"}
	net := c.post("/v2.0/networks", `{"network":{"name":"n"}}`, alice...)
	path := "/v2.0/networks/" + net["id"].(string)
	if strings.Contains(keys(net), "provider:") {
		t.Errorf("a member sees %s", keys(net))
	}
	port := c.post("/v2.0/ports", fmt.Sprintf(`{"port":{"network_id":%q}}`, net["id"]), alice...)
	if _, ok := port["binding:vnic_type"]; !ok || strings.Contains(keys(port), "binding:host_id") {
		t.Errorf("a member sees %s", keys(port))
	}
	c.get(path, bob...).fails(404, "NetworkNotFound", "could not be found")
	c.do("PUT", path, `{"network":{"name":"x"}}`, bob...).fails(404, "NetworkNotFound", "")
	c.do("DELETE", path, "", bob...).fails(404, "NetworkNotFound", "")
	if got := c.get("/v2.0/networks", bob...).list("networks"); len(got) != 0 {
		t.Errorf("bob sees %v", got)
	}
	c.do("POST", "/v2.0/networks", `{"network":{"shared":true}}`, alice...).fails(403, typePolicy,
		"(rule:create_network and rule:create_network:shared) is disallowed by policy")
	c.do("POST", "/v2.0/networks", `{"network":{"shared":false}}`, alice...).want(201)
	c.do("POST", "/v2.0/networks", `{"network":{"provider:network_type":"gre"}}`, alice...).fails(403, typePolicy, "")
	c.do("POST", "/v2.0/networks", `{"network":{"project_id":"bob"}}`, alice...).fails(400, wire.TypeBadRequest, "other than the authenticated project")
	c.do("POST", "/v2.0/networks", `{"network":{"project_id":"alice"}}`, alice...).want(201)
	c.do("PUT", path, `{"network":{"shared":false}}`, alice...).fails(403, typePolicy, "rule:update_network:shared")
	c.do("PUT", path, `{"network":{"shared":true}}`).want(200)
	c.get(path, bob...).want(200)
	c.do("PUT", path, `{"network":{"name":"x"}}`, bob...).fails(403, typePolicy, "rule:update_network")
	c.do("DELETE", path, "", bob...).fails(403, typePolicy, "rule:delete_network")
	c.agent(neutrino.AgentDHCP, "h1", "nova")
	if got := c.get("/v2.0/agents", alice...).list("agents"); len(got) != 0 {
		t.Errorf("a member sees agents: %v", got)
	}
}

func TestADefaultGroupAppearsWithTheFirstWrite(t *testing.T) {
	c := newCloud(t)
	path := "/v2.0/security-groups?tenant_id=p"
	if got := c.get(path).list("security_groups"); len(got) != 0 {
		t.Errorf("a GET wrote %v", got)
	}
	c.post("/v2.0/networks", `{"network":{}}`, "X-Project-Id", "p")
	got := c.get(path).list("security_groups")
	if len(got) != 1 || got[0]["name"] != "default" || len(got[0]["security_group_rules"].([]any)) != 4 {
		t.Errorf("%v", got)
	}
}

func TestSecurityGroupRules(t *testing.T) {
	c := newCloud(t)
	group := c.post("/v2.0/security-groups", `{"security_group":{"name":"g"}}`)["id"].(string)
	rule := func(attrs string) map[string]any {
		return c.post("/v2.0/security-group-rules", fmt.Sprintf(
			`{"security_group_rule":{"security_group_id":%q,"direction":"ingress",%s}}`, group, attrs))
	}
	r := rule(`"ethertype":"ipv4","protocol":"TCP","port_range_min":"22","port_range_max":22,"remote_ip_prefix":"10.0.0.5/24"`)
	if r["ethertype"] != "IPv4" || r["protocol"] != "tcp" || r["port_range_min"] != 22.0 ||
		r["remote_ip_prefix"] != "10.0.0.5/24" || r["normalized_cidr"] != "10.0.0.0/24" || r["remote_group_id"] != nil {
		t.Errorf("%v", r)
	}
	if r = rule(`"protocol":17`); r["protocol"] != "17" || r["port_range_min"] != nil || r["normalized_cidr"] != nil {
		t.Errorf("%v", r)
	}
	for query, want := range map[string]int{
		"security_group_id=" + group:                                  4,
		"security_group_id=" + group + "&direction=ingress":           2,
		"protocol=tcp&port_range_min=22":                              1,
		"security_group_id=" + group + "&normalized_cidr=10.0.0.0/24": 1,
	} {
		if got := c.get("/v2.0/security-group-rules?" + query).list("security_group_rules"); len(got) != want {
			t.Errorf("%s finds %d, want %d", query, len(got), want)
		}
	}
	path := "/v2.0/security-group-rules/" + r["id"].(string)
	c.do("PUT", path, `{"security_group_rule":{"description":"x"}}`).want(405)
	c.do("DELETE", path, "").want(204)
	c.get(path).fails(404, "SecurityGroupRuleNotFound", "")
}

func TestBulkRulesAreOfOneGroup(t *testing.T) {
	c := newCloud(t)
	var rules []string
	for _, name := range []string{"a", "b"} {
		group := c.post("/v2.0/security-groups", fmt.Sprintf(`{"security_group":{"name":%q}}`, name))["id"]
		rules = append(rules, fmt.Sprintf(`{"security_group_id":%q,"direction":"ingress"}`, group))
	}
	bulk := func(rules ...string) *answer {
		return c.do("POST", "/v2.0/security-group-rules", `{"security_group_rules":[`+strings.Join(rules, ",")+`]}`)
	}
	bulk(rules[0], rules[1]).fails(400, "SecurityGroupNotSingleGroupRules", "")
	bulk(rules[0], rules[0]).fails(409, "DuplicateSecurityGroupRuleInPost", "")
	bulk(rules[0]).want(201)
}

func TestAgentsAndZones(t *testing.T) {
	c := newCloud(t)
	id := c.agent(neutrino.AgentDHCP, "net1", "nova")
	c.agent(neutrino.AgentOVS, "net1", "")
	a := c.get("/v2.0/agents/" + string(id)).one()
	if got := keys(a); got != "admin_state_up agent_type alive availability_zone binary configurations created_at description heartbeat_timestamp host id resources_synced started_at topic" {
		t.Errorf("agent has %s", got)
	}
	if stamp := a["created_at"].(string); len(stamp) != 19 || stamp[10] != ' ' || a["alive"] != true || a["availability_zone"] != "nova" || fmt.Sprint(a["configurations"]) != "map[]" {
		t.Errorf("agent %v", a)
	}
	for query, want := range map[string]int{"": 2, "alive=true": 2, "alive=false": 0, "host=net1": 2, "host=x": 0,
		"agent_type=DHCP%20agent": 1, "availability_zone=nova": 1} {
		if got := c.get("/v2.0/agents?" + query).list("agents"); len(got) != want {
			t.Errorf("%q finds %d agents, want %d", query, len(got), want)
		}
	}
	got := c.do("PUT", "/v2.0/agents/"+string(id), `{"agent":{"admin_state_up":false,"description":"d"}}`).want(200).one()
	if got["admin_state_up"] != false || got["description"] != "d" {
		t.Errorf("%v", got)
	}
	c.do("PUT", "/v2.0/agents/"+string(id), `{"agent":{"host":"x"}}`).fails(400, wire.TypeBadRequest, "Cannot update read-only attribute host")
	want := `{"availability_zones":[{"name":"nova","resource":"network","state":"unavailable"}]}`
	if got := c.get("/v2.0/availability_zones").want(200).text; got != want {
		t.Errorf("zones %s", got)
	}
	if got := c.get("/v2.0/availability_zones?state=available&fields=name").list("availability_zones"); len(got) != 0 {
		t.Errorf("zones %v", got)
	}
	c.get("/v2.0/availability_zones?x=1").fails(400, wire.TypeBadRequest, "invalid attribute for filtering")
	c.do("DELETE", "/v2.0/agents/"+string(id), "").want(204)
	c.get("/v2.0/agents/"+string(id)).fails(404, "AgentNotFound", "")
}

func TestANetworkIsInTheZonesOfItsDHCPAgents(t *testing.T) {
	c := newCloud(t)
	net := c.network("n")
	c.agent(neutrino.AgentDHCP, "h1", "west")
	c.agent(neutrino.AgentDHCP, "h2", "east")
	c.agent(neutrino.AgentDHCP, "h3", "north")
	_, err := c.db.Update(context.Background(), func(tx *store.Tx) error {
		for _, host := range []string{"h1", "h2"} {
			store.Put(tx, store.DHCPBindings, &neutrino.DHCPBinding{NetworkID: neutrino.ID(net), Host: host})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(c.get("/v2.0/networks/" + net).one()["availability_zones"]); got != "[east west]" {
		t.Errorf("zones %s", got)
	}
}
