package api

import (
	"fmt"
	"strings"
	"testing"

	"neutrino/api/wire"
)

func TestBodiesOfNetworks(t *testing.T) {
	c := newCloud(t)
	id := c.network("n")
	const bad = wire.TypeBadRequest
	for _, row := range []struct{ method, body, typ, message string }{
		{"POST", ``, bad, "Unable to find 'network' in request body"},
		{"POST", `{}`, bad, "Unable to find 'network' in request body"},
		{"POST", `{"port":{}}`, bad, "Unable to find 'network' in request body"},
		{"POST", `{"network":null}`, bad, "Unable to find 'network' in request body"},
		{"POST", `{"network":[]}`, bad, "Body contains invalid data"},
		{"POST", `[]`, bad, "Body contains invalid data"},
		{"POST", `"x"`, bad, "Body contains invalid data"},
		{"POST", `{"network":`, bad, "Body contains invalid data"},
		{"POST", `{"network":{}} {}`, bad, "Body contains invalid data"},
		{"POST", `{"networks":{}}`, bad, "Body contains invalid data"},
		{"POST", `{"networks":[]}`, bad, "Resources required"},
		{"POST", `{"networks":[1]}`, bad, "Body contains invalid data"},
		{"POST", `{"network":{"nome":"x"}}`, bad, "Unrecognized attribute(s) 'nome'"},
		{"POST", `{"network":{"b":1,"a":1}}`, bad, "Unrecognized attribute(s) 'a, b'"},
		{"POST", `{"network":{"id":"x"}}`, bad, "Attribute 'id' not allowed in POST"},
		{"POST", `{"network":{"status":"ACTIVE"}}`, bad, "Attribute 'status' not allowed in POST"},
		{"POST", `{"network":{"subnets":[]}}`, bad, "Attribute 'subnets' not allowed in POST"},
		{"POST", `{"network":{"name":1}}`, bad, "Invalid input for name. Reason: '1' is not a valid string."},
		{"POST", `{"network":{"name":null}}`, bad, "Invalid input for name. Reason: 'None' is not a valid string."},
		{"POST", `{"network":{"name":"` + strings.Repeat("x", 256) + `"}}`, bad, "exceeds maximum length of 255"},
		{"POST", `{"network":{"admin_state_up":"perhaps"}}`, "InvalidInput", "Invalid input for operation: 'perhaps' cannot be converted to boolean."},
		{"POST", `{"network":{"admin_state_up":null}}`, "InvalidInput", "'None' cannot be converted to boolean"},
		{"POST", `{"network":{"mtu":"many"}}`, "InvalidInput", "Invalid input for operation: 'many' is not an integer."},
		{"POST", `{"network":{"mtu":-1}}`, bad, "Invalid input for mtu. Reason: '-1' should be non-negative."},
		{"POST", `{"network":{"provider:segmentation_id":1.5}}`, "InvalidInput", "'1.5' is not an integer"},
		{"POST", `{"network":{"project_id":"a","tenant_id":"b"}}`, bad, "'project_id' and 'tenant_id' do not match"},
		{"POST", `{"network":{"availability_zone_hints":"nova"}}`, bad, "Invalid input for availability_zone_hints"},
		{"PUT", `{"network":{"id":"` + id + `"}}`, bad, "Cannot update read-only attribute id"},
		{"PUT", `{"network":{"tenant_id":"default"}}`, bad, "Cannot update read-only attribute project_id"},
		{"PUT", `{"network":{"status":"ACTIVE"}}`, bad, "Cannot update read-only attribute status"},
		{"PUT", `{"network":{"subnets":[]}}`, bad, "Cannot update read-only attribute subnets"},
		{"PUT", `{"network":{"nome":""}}`, bad, "Unrecognized attribute(s) 'nome'"},
		{"PUT", `{"networks":[]}`, bad, "Unable to find 'network' in request body"},
		{"DELETE", `{}`, bad, "Request body is not supported in DELETE."},
	} {
		path := "/v2.0/networks"
		if row.method != "POST" {
			path += "/" + id
		}
		t.Run(row.method+" "+row.body[:min(len(row.body), 60)], func(t *testing.T) {
			a := c.do(row.method, path, row.body)
			a.t = t
			a.fails(400, row.typ, row.message)
		})
	}
	if n := len(c.get("/v2.0/networks").list("networks")); n != 1 {
		t.Errorf("%d networks: a refused request left something", n)
	}
}

// refused is a POST that is answered with 400. In attrs, N and S stand for what
// a port and a subnet need, G for a rule's group, and NET for the network.
type refused struct{ one, attrs, typ, message string }

func refusedAttributes() []refused {
	const bad = wire.TypeBadRequest
	const port, subnet, rule = "port", "subnet", "security_group_rule"
	return []refused{
		{port, ``, bad, "Failed to parse request. Required attribute 'network_id' not specified"},
		{port, `"network_id":"x"`, bad, "Invalid input for network_id. Reason: 'x' is not a valid UUID."},
		{port, `"network_id":7`, bad, "'7' is not a valid UUID"},
		{port, `N,"mac_address":"zz"`, bad, "Invalid input for mac_address. Reason: 'zz' is not a valid MAC address."},
		{port, `N,"mac_address":"00:00:00:00:00:00"`, bad, "not a valid MAC address"},
		{port, `N,"mac_address":"ff:ff:ff:ff:ff:ff"`, bad, "not a valid MAC address"},
		{port, `N,"fixed_ips":null`, bad, "Invalid data format for fixed IP: 'None'"},
		{port, `N,"fixed_ips":[{}]`, bad, "Invalid data format for fixed IP"},
		{port, `N,"fixed_ips":[{"ip_address":"10.0.0"}]`, bad, "'10.0.0' is not a valid IP address"},
		{port, `N,"fixed_ips":[{"ip_address":"::ffff:10.0.0.1"}]`, bad, "is not a valid IP address"},
		{port, `N,"fixed_ips":[{"ip_address":"fe80::1%eth0"}]`, bad, "is not a valid IP address"},
		{port, `N,"fixed_ips":[{"subnet_id":"s"}]`, bad, "'s' is not a valid UUID"},
		{port, `N,"fixed_ips":[{"ip":"10.0.0.9"}]`, bad, "Unexpected keys supplied: ip"},
		{port, `N,"fixed_ips":[{"ip_address":"10.0.0.9"},{"ip_address":"10.0.0.9"}]`, bad, "Duplicate IP address '10.0.0.9'"},
		{port, `N,"security_groups":"x"`, bad, "'x' is not a list"},
		{port, `N,"security_groups":["x"]`, bad, "'x' is not a valid UUID"},
		{port, `N,"allowed_address_pairs":[{"mac_address":"fa:16:3e:00:00:01"}]`, "AllowedAddressPairsMissingIP", "must contain ip_address"},
		{port, `N,"allowed_address_pairs":[{"ip_address":"1.1.1.1"},{"ip_address":"1.1.1.1"}]`, "DuplicateAddressPairInRequest", "mac_address None ip_address 1.1.1.1"},
		{port, `N,"allowed_address_pairs":[{"ip_address":"x"}]`, bad, "'x' is not a valid IP address"},
		{port, `N,"extra_dhcp_opts":[{"opt_value":"x"}]`, bad, "opt_name"},
		{port, `N,"extra_dhcp_opts":[{"opt_name":"a","opt_value":"x","ip_version":5}]`, bad, "'5' is not in [4, 6]"},
		{port, `N,"extra_dhcp_opts":"x"`, bad, "extra_dhcp_opts"},
		{port, `N,"binding:profile":"x"`, bad, "'x' is not a dictionary"},
		{port, `N,"binding:profile":{"a":"` + strings.Repeat("x", 4096) + `"}`, "InvalidInput", "too large"},
		{port, `N,"binding:vnic_type":"direct"`, bad, "'direct' is not in ['normal']"},
		{port, `N,"binding:vif_type":"ovs"`, bad, "Attribute 'binding:vif_type' not allowed in POST"},
		{port, `N,"ct_zone":5000`, bad, "Unrecognized attribute(s) 'ct_zone'"},
		{port, `N,"dns_name":"x\n"`, bad, "not a valid PQDN or FQDN"},
		{port, `N,"trusted":true`, bad, "Unrecognized attribute(s) 'trusted'"},
		{subnet, `"network_id":NET,"cidr":"10.9.0.0/24"`, bad, "Required attribute 'ip_version' not specified"},
		{subnet, `"network_id":NET,"ip_version":5,"cidr":"10.9.0.0/24"`, bad, "Invalid input for ip_version. Reason: '5' is not in [4, 6]."},
		{subnet, `S,"cidr":"10.9.0.0"`, bad, "Invalid input for cidr. Reason: '10.9.0.0' is not a valid IP subnet."},
		{subnet, `S,"cidr":"10.9.0.0/33"`, bad, "is not a valid IP subnet"},
		{subnet, `S,"cidr":"10.9.0.0/24","gateway_ip":"x"`, bad, "Invalid input for gateway_ip"},
		{subnet, `S,"cidr":"10.9.0.0/24","allocation_pools":null`, bad, "Invalid data format for IP pool: 'None'"},
		{subnet, `S,"cidr":"10.9.0.0/24","allocation_pools":[{"start":"10.9.0.2"}]`, bad, "Invalid data format for IP pool"},
		{subnet, `S,"cidr":"10.9.0.0/24","dns_nameservers":["x"]`, bad, "'x' is not a valid nameserver"},
		{subnet, `S,"cidr":"10.9.0.0/24","dns_nameservers":["8.8.8.8","8.8.8.8"]`, bad, "Duplicate nameserver '8.8.8.8'"},
		{subnet, `S,"cidr":"10.9.0.0/24","host_routes":[{"destination":"1.0.0.0/8"}]`, bad, "Invalid data format for hostroute"},
		{subnet, `S,"cidr":"10.9.0.0/24","ipv6_ra_mode":"x"`, bad, "'x' is not in ['slaac', 'dhcpv6-stateful', 'dhcpv6-stateless']"},
		{rule, `"direction":"ingress"`, bad, "Required attribute 'security_group_id' not specified"},
		{rule, `G`, bad, "Required attribute 'direction' not specified"},
		{rule, `G,"direction":"up"`, bad, "Invalid input for direction. Reason: 'up' is not in ['ingress', 'egress']."},
		{rule, `G,"direction":"ingress","ethertype":"IPX"`, "SecurityGroupRuleInvalidEtherType", "'IPX' not supported"},
		{rule, `G,"direction":"ingress","protocol":""`, "SecurityGroupRuleInvalidProtocol", "not supported"},
		{rule, `G,"direction":"ingress","protocol":"carrier-pigeon"`, "SecurityGroupRuleInvalidProtocol", "not supported"},
		{rule, `G,"direction":"ingress","protocol":"tcp","port_range_min":70000,"port_range_max":70001`, "SecurityGroupInvalidPortValue", "70000"},
		{rule, `G,"direction":"ingress","protocol":"tcp","port_range_min":"http"`, "SecurityGroupInvalidPortValue", "http"},
		{rule, `G,"direction":"ingress","remote_ip_prefix":"10.0.0.0/40"`, "InvalidCIDR", ""},
	}
}

func TestBodiesOfSubnetsPortsAndRules(t *testing.T) {
	c := newCloud(t)
	net := c.network("n")
	c.subnet(net, "10.0.0.0/24")
	group := c.post("/v2.0/security-groups", `{"security_group":{"name":"g"}}`)["id"]
	for _, row := range refusedAttributes() {
		t.Run(row.one+" "+row.attrs[:min(len(row.attrs), 60)], func(t *testing.T) {
			attrs := strings.NewReplacer(`N,`, fmt.Sprintf(`"network_id":%q,`, net), "NET", fmt.Sprintf("%q", net),
				`S,`, fmt.Sprintf(`"network_id":%q,"ip_version":4,`, net), `G`, fmt.Sprintf(`"security_group_id":%q`, group)).Replace(row.attrs)
			a := c.do("POST", "/v2.0/"+strings.ReplaceAll(row.one, "_", "-")+"s", `{"`+row.one+`":{`+attrs+`}}`)
			a.t = t
			a.fails(400, row.typ, row.message)
		})
	}
}

func TestBooleansAndNumbersMayBeText(t *testing.T) {
	c := newCloud(t)
	for text, want := range map[string]bool{`"True"`: true, `"false"`: false, `1`: true, `0`: false, `"t"`: true, `"1"`: true, `true`: true} {
		n := c.post("/v2.0/networks", `{"network":{"admin_state_up":`+text+`,"mtu":"1400"}}`)
		if n["admin_state_up"] != want || n["mtu"] != 1400.0 {
			t.Errorf("%s: %v", text, n)
		}
	}
}

func TestBulkIsAllOrNothing(t *testing.T) {
	c := newCloud(t)
	got := c.do("POST", "/v2.0/networks", `{"networks":[{"name":"a"},{"network":{"name":"b"}}]}`).want(201).json()
	if len(got["networks"].([]any)) != 2 {
		t.Errorf("%v", got)
	}
	net := got["networks"].([]any)[0].(map[string]any)["id"].(string)
	c.subnet(net, "10.0.0.0/24")
	body := fmt.Sprintf(`{"ports":[{"network_id":%q},{"network_id":%q,"fixed_ips":[{"ip_address":"10.9.9.9"}]}]}`, net, net)
	c.do("POST", "/v2.0/ports", body).fails(400, "InvalidIpForNetwork", "")
	if n := len(c.get("/v2.0/ports?device_owner=").list("ports")); n != 0 {
		t.Errorf("%d ports of a refused bulk", n)
	}
	refuses := openCloud(t, memory(), Options{RefuseBulk: true})
	refuses.do("POST", "/v2.0/networks", `{"networks":[{}]}`).fails(400, wire.TypeBadRequest, "Bulk operation not supported")
}

func TestPutChangesOnlyWhatItNames(t *testing.T) {
	c := newCloud(t)
	net := c.network("n")
	c.subnet(net, "10.0.0.0/24")
	p := c.port(net, `,"name":"p","description":"d","extra_dhcp_opts":[{"opt_name":"250","opt_value":"1"},{"opt_name":"251","opt_value":"2"},{"opt_name":"252","opt_value":null}]`)
	path := "/v2.0/ports/" + p["id"].(string)
	got := c.do("PUT", path, `{"port":{"name":"q"}}`).want(200).one()
	for _, same := range []string{"description", "mac_address", "fixed_ips", "security_groups", "admin_state_up", "created_at", "extra_dhcp_opts"} {
		if fmt.Sprint(got[same]) != fmt.Sprint(p[same]) {
			t.Errorf("%s changed from %v to %v", same, p[same], got[same])
		}
	}
	if got["name"] != "q" || got["revision_number"].(float64) <= p["revision_number"].(float64) {
		t.Errorf("%v", got)
	}
	got = c.do("PUT", path, `{"port":{"extra_dhcp_opts":[{"opt_name":"250","opt_value":null},{"opt_name":"251","opt_value":"3"}]}}`).want(200).one()
	if fmt.Sprint(got["extra_dhcp_opts"]) != "[map[ip_version:4 opt_name:251 opt_value:3]]" {
		t.Errorf("options %v", got["extra_dhcp_opts"])
	}
	got = c.do("PUT", path, `{"port":{"mac_address":null}}`).want(200).one()
	if got["mac_address"] == p["mac_address"] || got["mac_address"] == nil {
		t.Errorf("mac %v was not made anew", got["mac_address"])
	}
	got = c.do("PUT", path, `{"port":{"security_groups":null}}`).want(200).one()
	if fmt.Sprint(got["security_groups"]) != "[]" {
		t.Errorf("groups %v", got["security_groups"])
	}
}

func TestIfMatch(t *testing.T) {
	c := newCloud(t)
	net := c.post("/v2.0/networks", `{"network":{}}`)
	path := "/v2.0/networks/" + net["id"].(string)
	now := fmt.Sprintf("revision_number=%v", net["revision_number"])
	put := func(match ...string) *answer {
		var h []string
		for _, m := range match {
			h = append(h, "If-Match", m)
		}
		return c.do("PUT", path, `{"network":{"name":"x"}}`, h...)
	}
	put("revision_number=99").fails(412, "RevisionNumberConstraintFailed", "99")
	put("revision_number=x").fails(400, "BadRequest", "if-match")
	put("x").fails(400, "BadRequest", "if-match")
	put(now, now).fails(400, "BadRequest", "if-match")
	put(now).want(200)
	c.do("DELETE", path, "", "If-Match", now).fails(412, "RevisionNumberConstraintFailed", "")
	c.do("DELETE", path, "").want(204)
	c.get(path).fails(404, "NetworkNotFound", "could not be found")
}
