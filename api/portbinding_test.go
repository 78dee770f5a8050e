package api

import (
	"fmt"
	"testing"
)

func TestBindingsOfAPortOnTheWire(t *testing.T) {
	c := newCloud(t)
	c.host("compute1", "nova")
	c.host("compute2", "nova")
	n := c.network("n")
	p := c.port(n, `,"device_owner":"compute:nova","binding:host_id":"compute1"`)
	path := "/v2.0/ports/" + p["id"].(string) + "/bindings"
	made := c.post(path, `{"binding":{"host":"compute2","profile":{"migrating_to":"compute2"}}}`)
	if keys(made) != "host profile status vif_details vif_type vnic_type" || made["status"] != "INACTIVE" || made["vif_type"] != "ovs" || made["vnic_type"] != "normal" {
		t.Errorf("made %v", made)
	}
	if list := c.get(path).list("bindings"); len(list) != 2 {
		t.Errorf("lists %v", list)
	}
	if list := c.get(path + "?status=INACTIVE&fields=host").list("bindings"); fmt.Sprint(list) != "[map[host:compute2]]" {
		t.Errorf("filtered %v", list)
	}
	if page := c.get(path + "?limit=1").list("bindings"); len(page) != 1 {
		t.Errorf("page %v", page)
	}
	c.do("PUT", path+"/compute2", `{"binding":{"profile":{"a":"b"}}}`).want(200)
	if got := c.get(path + "/compute2").want(200).one(); fmt.Sprint(got["profile"]) != "map[a:b]" {
		t.Errorf("changed %v", got)
	}
	active := c.do("PUT", path+"/compute2/activate", "").want(200).json()
	if active["host"] != "compute2" || active["status"] != "ACTIVE" {
		t.Errorf("activated %v", active)
	}
	if got := c.get("/v2.0/ports/" + p["id"].(string)).one(); got["binding:host_id"] != "compute2" {
		t.Errorf("port %v", got)
	}
	c.do("PUT", path+"/compute2/activate", "").fails(409, "PortBindingAlreadyActive", "compute2")
	c.do("PUT", path+"/nowhere/activate", "").fails(404, "PortBindingNotFound", "nowhere")
	c.do("POST", path, `{"binding":{"host":"compute1"}}`).fails(409, "PortBindingAlreadyExists", "compute1")
	c.do("POST", path, `{"binding":{"host":"nowhere"}}`).fails(409, "PortBindingError", "nowhere")
	c.do("POST", path, `{"binding":{}}`).fails(400, "HTTPBadRequest", "host")
	c.do("POST", path, `{"binding":{"host":"compute3","vnic_type":"direct"}}`).want(400)
	c.get(path + "/compute1/activate").want(405)
	c.get(path + "/compute1/x").want(404)
	c.get(path, "X-Project-Id", "bob", "X-Roles", "member").fails(404, "PortNotFound", "")
	c.do("DELETE", path+"/compute1", "").want(204)
	c.do("DELETE", path+"/compute1", "").fails(404, "PortBindingNotFound", "compute1")
	plain := c.port(n, "")
	c.get("/v2.0/ports/"+plain["id"].(string)+"/bindings").fails(400, "BadRequest", "compute ports")
}

func TestNamesOfDNSOnTheWire(t *testing.T) {
	c := newCloud(t)
	n := c.post("/v2.0/networks", `{"network":{"dns_domain":"Example.org."}}`)
	id := n["id"].(string)
	c.subnet(id, "10.0.0.0/24")
	if n["dns_domain"] != "example.org." {
		t.Errorf("network %v", n)
	}
	p := c.port(id, `,"dns_name":"Web","fixed_ips":[{"ip_address":"10.0.0.9"}]`)
	if got, want := fmt.Sprint(p["dns_assignment"]), "[map[fqdn:web.example.org. hostname:web ip_address:10.0.0.9]]"; got != want || p["dns_name"] != "web" {
		t.Errorf("got %s, want %s", got, want)
	}
	p = c.do("PUT", "/v2.0/ports/"+p["id"].(string), `{"port":{"dns_name":"","dns_domain":"other.org."}}`).want(200).one()
	if got, want := fmt.Sprint(p["dns_assignment"]), "[map[fqdn:host-10-0-0-9.other.org. hostname:host-10-0-0-9 ip_address:10.0.0.9]]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	r := c.routed()
	c.do("POST", "/v2.0/floatingips", fmt.Sprintf(`{"floatingip":{"floating_network_id":%q,"dns_name":"web"}}`, r.external)).fails(400, "HTTPBadRequest", "dns_name")
}

func TestServiceTypesAndStatefulOnTheWire(t *testing.T) {
	c := newCloud(t)
	n := c.network("n")
	make := func(types string, headers ...string) *answer {
		return c.do("POST", "/v2.0/subnets", fmt.Sprintf(`{"subnet":{"network_id":%q,"ip_version":4,"cidr":"10.0.0.0/24","service_types":%s}}`, n, types), headers...)
	}
	make(`["nova"]`).fails(400, "InvalidSubnetServiceType", "nova")
	make(`"compute:nova"`).want(400)
	make(`[1]`).want(400)
	make(`["compute:nova"]`, "X-Roles", "reader").want(403)
	if got := make(`["compute:nova"]`, "X-Roles", "member").want(201).one(); fmt.Sprint(got["service_types"]) != "[compute:nova]" {
		t.Errorf("subnet %v", got)
	}
	c.do("POST", "/v2.0/ports", fmt.Sprintf(`{"port":{"network_id":%q}}`, n)).fails(409, "IpAddressGenerationFailureNoMatchingSubnet", "")
	g := c.post("/v2.0/security-groups", `{"security_group":{"name":"g","stateful":"False"}}`)
	if g["stateful"] != false || len(c.get("/v2.0/security-groups?stateful=false").list("security_groups")) != 1 {
		t.Errorf("group %v", g)
	}
	c.do("POST", "/v2.0/security-groups", `{"security_group":{"stateful":"maybe"}}`).want(400)
}
