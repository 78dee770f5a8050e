package api

import (
	"fmt"
	"strings"
	"testing"

	"neutrino"
	"neutrino/api/wire"
)

func (c *cloud) floating(external, more string, headers ...string) map[string]any {
	c.t.Helper()
	return c.post("/v2.0/floatingips", fmt.Sprintf(`{"floatingip":{"floating_network_id":%q%s}}`, external, more), headers...)
}

func TestAFloatingIPFollowsItsPort(t *testing.T) {
	c := newCloud(t)
	r := c.routed()
	port := c.port(r.network, `,"name":"vm","device_id":"d"`)
	f := c.floating(r.external, fmt.Sprintf(`,"subnet_id":%q`, r.outside))
	if got := keys(f); got != "created_at description dns_domain dns_name fixed_ip_address floating_ip_address floating_network_id id port_details port_forwardings port_id project_id revision_number router_id status tags tenant_id updated_at" {
		t.Errorf("floating IP has %s", got)
	}
	if f["status"] != "DOWN" || f["port_id"] != nil || f["router_id"] != nil || f["fixed_ip_address"] != nil || f["port_details"] != nil ||
		fmt.Sprint(f["port_forwardings"]) != "[]" || !strings.HasPrefix(f["floating_ip_address"].(string), "203.0.113.") {
		t.Errorf("%v", f)
	}
	put := func(body string) map[string]any {
		t.Helper()
		return c.do("PUT", "/v2.0/floatingips/"+f["id"].(string), `{"floatingip":`+body+`}`).want(200).one()
	}
	on := put(fmt.Sprintf(`{"port_id":%q}`, port["id"]))
	details := on["port_details"].(map[string]any)
	if on["router_id"] != r.router || on["port_id"] != port["id"] || keys(details) != "admin_state_up device_id device_owner mac_address name network_id status" ||
		details["name"] != "vm" || details["mac_address"] != port["mac_address"] || details["device_id"] != "d" || details["network_id"] != r.network {
		t.Errorf("associated %v", on)
	}
	for query, want := range map[string]int{"port_id=" + port["id"].(string): 1, "router_id=" + r.router: 1, "port_id=x": 0,
		"floating_ip_address=" + f["floating_ip_address"].(string): 1, "floating_network_id=" + r.external: 1, "tenant_id=x": 0,
		"fixed_ip_address=" + on["fixed_ip_address"].(string): 1, "status=ERROR": 0} {
		if got := c.get("/v2.0/floatingips?" + query).list("floatingips"); len(got) != want {
			t.Errorf("%s finds %d", query, len(got))
		}
	}
	c.get("/v2.0/floatingips?subnet_id="+r.outside).fails(400, wire.TypeBadRequest, "invalid attribute for filtering")
	if got := put(`{"description":"d"}`); got["port_id"] != port["id"] || got["description"] != "d" {
		t.Errorf("a description took the port away: %v", got)
	}
	for _, off := range []string{`{}`, `{"port_id":null}`} {
		put(fmt.Sprintf(`{"port_id":%q}`, port["id"]))
		if got := put(off); got["port_id"] != nil || got["router_id"] != nil || got["fixed_ip_address"] != nil || got["port_details"] != nil {
			t.Errorf("%s left %v", off, got)
		}
	}
	c.do("DELETE", "/v2.0/floatingips/"+f["id"].(string), "").want(204)
	c.get("/v2.0/floatingips/"+f["id"].(string)).fails(404, "FloatingIPNotFound", "")
}

func TestWhatAFloatingIPMayBe(t *testing.T) {
	c := newCloud(t)
	r := c.routed()
	alice := []string{"X-Project-Id", "alice", "X-Roles", "member"}
	refused := func(body string, status int, headers ...string) {
		t.Helper()
		c.do("POST", "/v2.0/floatingips", `{"floatingip":{`+body+`}}`, headers...).want(status)
	}
	in := fmt.Sprintf(`"floating_network_id":%q`, r.external)
	refused(``, 400)
	refused(fmt.Sprintf(`"floating_network_id":%q`, r.network), 400)
	refused(`"floating_network_id":"11111111-2222-4333-8444-555555555555"`, 404)
	refused(in+`,"subnet_id":"x"`, 400)
	refused(in+fmt.Sprintf(`,"subnet_id":%q`, r.inside), 400)
	refused(in+`,"subnet_id":null`, 201)
	refused(in+`,"router_id":null`, 400)
	refused(in+`,"floating_ip_address":"203.0.113.50"`, 201)
	refused(in+`,"floating_ip_address":"203.0.113.50"`, 409)
	refused(in+`,"floating_ip_address":"192.0.2.1"`, 400)
	refused(in+`,"floating_ip_address":"203.0.113.51"`, 403, alice...)
	refused(in+`,"floating_ip_address":"203.0.113.52"`, 201, "X-Project-Id", "alice", "X-Roles", "manager,member")
	refused(in+`,"floating_ip_address":null`, 201, alice...)
	refused(in+`,"fixed_ip_address":"10.0.0.9"`, 400)
	f := c.floating(r.external, "", alice...)["id"].(string)
	c.do("PUT", "/v2.0/floatingips/"+f, fmt.Sprintf(`{"floatingip":{"subnet_id":%q}}`, r.outside), alice...).fails(400, wire.TypeBadRequest, "read-only attribute subnet_id")
	c.get("/v2.0/floatingips/"+f, "X-Project-Id", "bob", "X-Roles", "member").fails(404, "FloatingIPNotFound", "")
	for _, p := range c.get("/v2.0/ports?device_owner="+neutrino.OwnerFloatingIP, alice...).list("ports") {
		t.Errorf("a tenant sees the port of a floating IP: %v", p)
	}
	many := c.do("POST", "/v2.0/floatingips", `{"floatingips":[{`+in+`},{`+in+`}]}`).want(201).json()["floatingips"].([]any)
	if len(many) != 2 {
		t.Errorf("%v", many)
	}
}

func TestPortForwardingsBelongToTheirFloatingIP(t *testing.T) {
	c := newCloud(t)
	r := c.routed()
	port := c.port(r.network, "")
	address := port["fixed_ips"].([]any)[0].(map[string]any)["ip_address"].(string)
	one, other := c.floating(r.external, "")["id"].(string), c.floating(r.external, "")["id"].(string)
	path := "/v2.0/floatingips/" + one + "/port_forwardings"
	body := func(external int) string {
		return fmt.Sprintf(`{"port_forwarding":{"protocol":"tcp","external_port":%d,"internal_port":"22","internal_port_id":%q,"internal_ip_address":%q,"description":"ssh"}}`,
			external, port["id"], address)
	}
	f := c.post(path, body(2222))
	if got := keys(f); got != "description external_port external_port_range id internal_ip_address internal_port internal_port_id internal_port_range protocol" {
		t.Errorf("port forwarding has %s", got)
	}
	if f["external_port"] != 2222.0 || f["internal_port"] != 22.0 || f["internal_ip_address"] != address || f["description"] != "ssh" {
		t.Errorf("%v", f)
	}
	id := f["id"].(string)
	wrong := "/v2.0/floatingips/" + other + "/port_forwardings"
	bob := []string{"X-Project-Id", "bob", "X-Roles", "member"}
	for _, method := range []string{"GET", "PUT", "DELETE"} {
		send := ""
		if method == "PUT" {
			send = `{"port_forwarding":{"description":"x"}}`
		}
		c.do(method, wrong+"/"+id, send).fails(404, "PortForwardingNotFound", "")
		c.do(method, path+"/"+id, send, bob...).fails(404, "FloatingIPNotFound", "")
		c.do(method, "/v2.0/floatingips/x/port_forwardings/"+id, send).fails(404, "FloatingIPNotFound", "")
	}
	c.get(path, bob...).fails(404, "FloatingIPNotFound", "")
	if got := c.get(wrong).list("port_forwardings"); len(got) != 0 {
		t.Errorf("the other floating IP has %v", got)
	}
	for query, want := range map[string]int{"": 1, "external_port=2222": 1, "external_port=1": 0, "protocol=tcp": 1, "protocol=udp": 0,
		"internal_port_id=" + port["id"].(string): 1, "description=ssh": 1, "id=" + id: 1, "sort_key=protocol&sort_dir=asc&limit=1": 1} {
		if got := c.get(path + "?" + query).list("port_forwardings"); len(got) != want {
			t.Errorf("%q finds %v", query, got)
		}
	}
	c.get(path+"?internal_port=22").fails(400, wire.TypeBadRequest, "invalid attribute for filtering")
	got := c.do("PUT", path+"/"+id, `{"port_forwarding":{"external_port":2223}}`).want(200).one()
	if got["external_port"] != 2223.0 || got["internal_port"] != 22.0 {
		t.Errorf("%v", got)
	}
	shown := c.get("/v2.0/floatingips/" + one).one()
	inner := shown["port_forwardings"].([]any)[0].(map[string]any)
	if shown["router_id"] != r.router || shown["port_id"] != nil || keys(inner) != "external_port id internal_ip_address internal_port internal_port_id protocol" || inner["id"] != id {
		t.Errorf("the floating IP shows %v", shown)
	}
	c.do("POST", path, body(2223)).want(400)
	c.do("DELETE", "/v2.0/floatingips/"+one, "").fails(409, "FipInUseByPortForwarding", one)
	c.portRanges(path, id, body(2300))
	c.do("POST", path, strings.Replace(body(70000), "ssh", "", 1)).want(400)
	c.do("POST", path, strings.Replace(body(1), `"tcp"`, `"icmp"`, 1)).fails(400, wire.TypeBadRequest, "is not in ['tcp', 'udp', 'sctp', 'dccp']")
	c.do("POST", path, `{"port_forwarding":{"protocol":"tcp"}}`).fails(400, wire.TypeBadRequest, "Required attribute")
	c.do("PATCH", path, "").want(405)
	c.do("DELETE", path+"/"+id, "").want(204)
	c.get(path+"/"+id).fails(404, "PortForwardingNotFound", "")
	c.get(path+"/"+id+"/x").fails(404, typeHTTPNotFound, "")
}

// portRanges are the ranges of a forwarding: how they are shown, changed back
// and forth, and what is refused. It leaves a single port.
func (c *cloud) portRanges(path, id, single string) {
	c.t.Helper()
	put := func(body string) *answer {
		return c.do("PUT", path+"/"+id, `{"port_forwarding":`+body+`}`)
	}
	shows := func(got map[string]any, want [4]any) {
		c.t.Helper()
		have := [...]any{got["external_port"], got["external_port_range"], got["internal_port"], got["internal_port_range"]}
		if fmt.Sprint(have) != fmt.Sprint(want) {
			c.t.Errorf("shows %v, want %v", have, want)
		}
	}
	shows(c.get(path+"/"+id).one(), [...]any{2223, "2223:2223", 22, "22:22"})
	shows(put(`{"external_port_range":"8000:8010"}`).want(200).one(), [...]any{nil, "8000:8010", 22, "22:22"})
	shows(put(`{"internal_port_range":"9000:9010"}`).want(200).one(), [...]any{nil, "8000:8010", nil, "9000:9010"})
	shows(put(`{"description":"range"}`).want(200).one(), [...]any{nil, "8000:8010", nil, "9000:9010"})
	if got := c.get(path + "?external_port_range=8000:8010").list("port_forwardings"); len(got) != 1 {
		c.t.Errorf("the range finds %v", got)
	}
	for body, want := range map[string][2]string{
		`{"internal_port_range":"9000:9004"}`:                   {"BadRequest", "as many ports"},
		`{"internal_port_range":"9010:9000"}`:                   {"InvalidInput", "above the last"},
		`{"external_port_range":"8000:8010:8020"}`:              {"InvalidInput", "not a valid port range"},
		`{"external_port_range":"0:10"}`:                        {"InvalidInput", "not a valid port range"},
		`{"external_port_range":"65530:65540"}`:                 {"InvalidInput", "not a valid port range"},
		`{"external_port":7,"external_port_range":"8000:8010"}`: {"BadRequest", "exclude each other"},
		`{"external_port":null}`:                                {"BadRequest", "is required"},
	} {
		put(body).fails(400, want[0], want[1])
	}
	overlap := strings.Replace(single, `"external_port":2300`, `"external_port_range":"8010:8011"`, 1)
	c.do("POST", path, overlap).fails(400, "BadRequest", "duplicate")
	c.do("POST", path, strings.Replace(single, `"internal_port":"22"`, `"internal_port":9005`, 1)).fails(400, "BadRequest", "duplicate")
	apart := strings.Replace(overlap, "8010:8011", "8011:8012", 1)
	c.do("DELETE", path+"/"+c.post(path, apart)["id"].(string), "").want(204)
	shows(put(`{"external_port":2223,"internal_port":22}`).want(200).one(), [...]any{2223, "2223:2223", 22, "22:22"})
}
