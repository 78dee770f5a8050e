package api

import (
	"fmt"
	"strings"
	"testing"

	"neutrino"
	"neutrino/api/wire"
	"neutrino/store"
)

// external makes an external network with one IPv4 subnet. Its pool leaves out
// the addresses that tests name, which would meet a drawn one now and then.
func (c *cloud) external(name string) (network, subnet string) {
	c.t.Helper()
	network = c.post("/v2.0/networks", fmt.Sprintf(`{"network":{"name":%q,"router:external":true}}`, name))["id"].(string)
	subnet = c.post("/v2.0/subnets", fmt.Sprintf(`{"subnet":{"network_id":%q,"cidr":"203.0.113.0/24","ip_version":4,"enable_dhcp":false,"name":%q,
		"allocation_pools":[{"start":"203.0.113.100","end":"203.0.113.199"}]}}`, network, name+"-subnet"))["id"].(string)
	return network, subnet
}

func (c *cloud) router(more string, headers ...string) map[string]any {
	c.t.Helper()
	return c.post("/v2.0/routers", `{"router":{"name":"r"`+more+`}}`, headers...)
}

// routed is a network behind a router with a gateway.
type routed struct{ external, outside, network, inside, router string }

func (c *cloud) routed() routed {
	c.t.Helper()
	var r routed
	r.external, r.outside = c.external("public")
	r.network = c.network("private")
	r.inside = c.subnet(r.network, "10.0.0.0/24")
	r.router = c.router(fmt.Sprintf(`,"external_gateway_info":{"network_id":%q}`, r.external))["id"].(string)
	c.do("PUT", "/v2.0/routers/"+r.router+"/add_router_interface", fmt.Sprintf(`{"subnet_id":%q}`, r.inside)).want(200)
	return r
}

func TestARouterShowsItsGateway(t *testing.T) {
	c := newCloud(t)
	public, outside := c.external("public")
	r := c.router("")
	if got := keys(r); got != "admin_state_up availability_zone_hints availability_zones created_at description distributed external_gateway_info ha id name project_id revision_number routes status tags tenant_id updated_at" {
		t.Errorf("router has %s", got)
	}
	if r["external_gateway_info"] != nil || r["status"] != "ACTIVE" || fmt.Sprint(r["routes"]) != "[]" || r["tenant_id"] != "default" {
		t.Errorf("%v", r)
	}
	path := "/v2.0/routers/" + r["id"].(string)
	set := func(info string, headers ...string) *answer {
		return c.do("PUT", path, `{"router":{"external_gateway_info":`+info+`}}`, headers...)
	}
	gateway := func(a *answer) map[string]any {
		t.Helper()
		return a.want(200).one()["external_gateway_info"].(map[string]any)
	}
	first := gateway(set(fmt.Sprintf(`{"network_id":%q}`, public)))
	if keys(first) != "enable_snat external_fixed_ips network_id" || first["enable_snat"] != true || first["network_id"] != public ||
		!strings.Contains(fmt.Sprint(first["external_fixed_ips"]), "subnet_id:"+outside) {
		t.Errorf("gateway %v", first)
	}
	if again := gateway(set(fmt.Sprintf(`{"network_id":%q}`, public))); fmt.Sprint(again) != fmt.Sprint(first) {
		t.Errorf("the same gateway again became %v", again)
	}
	chosen := gateway(set(fmt.Sprintf(`{"network_id":%q,"enable_snat":"False","external_fixed_ips":[{"ip_address":"203.0.113.77"}]}`, public)))
	if chosen["enable_snat"] != false || fmt.Sprint(chosen["external_fixed_ips"]) != fmt.Sprintf("[map[ip_address:203.0.113.77 subnet_id:%s]]", outside) {
		t.Errorf("gateway %v", chosen)
	}
	if back := gateway(set(fmt.Sprintf(`{"network_id":%q}`, public))); back["enable_snat"] != true {
		t.Errorf("enable_snat that is left out is the default: %v", back)
	}
	for _, none := range []string{"{}", "null"} {
		set(fmt.Sprintf(`{"network_id":%q}`, public)).want(200)
		if got := set(none).want(200).one()["external_gateway_info"]; got != nil {
			t.Errorf("%s left %v", none, got)
		}
	}
	for _, bad := range []string{`"x"`, `[]`, `{"enable_snat":true}`, `{"network_id":"x"}`, `{"network_id":null}`, `{"network_id":"` + public + `","qos_policy_id":null}`,
		`{"network_id":"` + public + `","enable_snat":"maybe"}`, `{"network_id":"` + public + `","external_fixed_ips":[{}]}`} {
		set(bad).want(400)
	}
	set(fmt.Sprintf(`{"network_id":%q}`, c.network("inner"))).fails(400, "BadRequest", "not")
	set(`{"network_id":"11111111-2222-4333-8444-555555555555"}`).fails(404, "NetworkNotFound", "")
}

func TestOnlyAnAdminChoosesHowARouterLeaves(t *testing.T) {
	c := newCloud(t)
	public, _ := c.external("public")
	alice := []string{"X-Project-Id", "alice", "X-Roles", "member"}
	r := c.router(fmt.Sprintf(`,"external_gateway_info":{"network_id":%q}`, public), alice...)
	for part, value := range map[string]string{"enable_snat": "true", "external_fixed_ips": `[{"ip_address":"203.0.113.9"}]`} {
		body := fmt.Sprintf(`{"router":{"external_gateway_info":{"network_id":%q,%q:%s}}}`, public, part, value)
		c.do("POST", "/v2.0/routers", body, alice...).fails(403, typePolicy, "rule:create_router:external_gateway_info:"+part)
		c.do("PUT", "/v2.0/routers/"+r["id"].(string), body, alice...).fails(403, typePolicy, "rule:update_router:external_gateway_info:"+part)
		c.do("PUT", "/v2.0/routers/"+r["id"].(string), body, "X-Project-Id", "bob", "X-Roles", "member").fails(404, "RouterNotFound", "")
	}
	for row := range store.All(c.db.Snapshot(), store.Ports) {
		if row.DeviceOwner != neutrino.OwnerGateway {
			continue
		}
		c.get("/v2.0/ports/"+string(row.ID), alice...).fails(404, "PortNotFound", "")
		if p := c.get("/v2.0/ports/" + string(row.ID)).want(200).one(); p["project_id"] != "" {
			t.Errorf("a gateway port is of project %q", p["project_id"])
		}
	}
	if got := c.get("/v2.0/ports?device_id="+r["id"].(string), alice...).list("ports"); len(got) != 0 {
		t.Errorf("a tenant sees gateway ports: %v", got)
	}
}

func TestRouterInterfacesComeAndGo(t *testing.T) {
	c := newCloud(t)
	net := c.network("n")
	sub := c.subnet(net, "10.0.0.0/24")
	id := c.router("")["id"].(string)
	act := func(action, body string, headers ...string) *answer {
		return c.do("PUT", "/v2.0/routers/"+id+"/"+action, body, headers...)
	}
	for _, action := range []string{"add_router_interface", "remove_router_interface"} {
		act(action, `{}`).fails(400, "BadRequest", "Either subnet_id or port_id must be specified")
		act(action, ``).want(400)
		act(action, `{"subnet_id":"x"}`).fails(400, wire.TypeBadRequest, "'x' is not a valid UUID")
		act(action, `{"port_id":5}`).fails(400, wire.TypeBadRequest, "is not a valid UUID")
		act(action, `{"subnet":"x"}`).fails(400, wire.TypeBadRequest, "Unrecognized attribute(s) 'subnet'")
		act(action, fmt.Sprintf(`{"subnet_id":%q}`, sub), "X-Project-Id", "bob", "X-Roles", "member").fails(404, "RouterNotFound", "")
	}
	act("add_router_interface", fmt.Sprintf(`{"subnet_id":%q,"port_id":%q}`, sub, sub)).fails(400, "BadRequest", "Cannot specify both")
	added := act("add_router_interface", fmt.Sprintf(`{"subnet_id":%q}`, sub)).want(200).json()
	if keys(added) != "id network_id port_id project_id subnet_id subnet_ids tenant_id" || added["id"] != id || added["network_id"] != net ||
		added["subnet_id"] != sub || fmt.Sprint(added["subnet_ids"]) != "["+sub+"]" || added["tenant_id"] != "default" || added["project_id"] != "default" {
		t.Errorf("added %v", added)
	}
	port := c.get("/v2.0/ports/" + added["port_id"].(string)).want(200).one()
	if port["device_id"] != id || port["device_owner"] != neutrino.OwnerRouter {
		t.Errorf("port %v", port)
	}
	c.do("DELETE", "/v2.0/routers/"+id, "").fails(409, "RouterInUse", "")
	act("remove_router_interface", fmt.Sprintf(`{"subnet_id":%q}`, c.subnet(net, "10.1.0.0/24"))).want(404)
	removed := act("remove_router_interface", fmt.Sprintf(`{"subnet_id":%q,"port_id":%q}`, sub, added["port_id"])).want(200).json()
	if fmt.Sprint(removed) != fmt.Sprint(added) {
		t.Errorf("removed %v", removed)
	}
	c.get("/v2.0/ports/"+added["port_id"].(string)).fails(404, "PortNotFound", "")
	own := c.port(net, fmt.Sprintf(`,"fixed_ips":[{"subnet_id":%q,"ip_address":"10.0.0.9"}]`, sub))["id"]
	if got := act("add_router_interface", fmt.Sprintf(`{"port_id":%q}`, own)).want(200).json(); got["port_id"] != own {
		t.Errorf("%v", got)
	}
	act("remove_router_interface", fmt.Sprintf(`{"port_id":%q}`, own)).want(200)
	act("add_router_interface", `{"subnet_id":"11111111-2222-4333-8444-555555555555"}`).fails(404, "SubnetNotFound", "")
	c.do("DELETE", "/v2.0/routers/"+id, "").want(204)
	c.get("/v2.0/routers/"+id).fails(404, "RouterNotFound", "")
}

func TestRoutesOfARouterAreReplacedOrAddedToAtomically(t *testing.T) {
	c := newCloud(t)
	r := c.routed()
	path := "/v2.0/routers/" + r.router
	put := func(action, routes string) *answer {
		return c.do("PUT", path+action, `{"router":{"routes":[`+routes+`]}}`)
	}
	shown := func(a *answer) string {
		t.Helper()
		return fmt.Sprint(a.want(200).json()["router"].(map[string]any)["routes"])
	}
	one, two := `{"destination":"10.8.0.0/16","nexthop":"10.0.0.8"}`, `{"destination":"10.9.0.0/16","nexthop":"10.0.0.9"}`
	if got := shown(put("", one)); got != "[map[destination:10.8.0.0/16 nexthop:10.0.0.8]]" {
		t.Errorf("put %s", got)
	}
	both := "[map[destination:10.8.0.0/16 nexthop:10.0.0.8] map[destination:10.9.0.0/16 nexthop:10.0.0.9]]"
	for range 2 {
		if got := shown(put("/add_extraroutes", two)); got != both {
			t.Errorf("added %s", got)
		}
	}
	for range 2 {
		if got := shown(put("/remove_extraroutes", one)); got != "[map[destination:10.9.0.0/16 nexthop:10.0.0.9]]" {
			t.Errorf("removed %s", got)
		}
	}
	if got := shown(c.do("PUT", path, `{"router":{"routes":null}}`)); got != "[]" {
		t.Errorf("null left %s", got)
	}
	put("", `{"destination":"10.8.0.0/16","nexthop":"192.0.2.1"}`).fails(400, "InvalidRoutes", "")
	put("/add_extraroutes", `{"destination":"x","nexthop":"10.0.0.8"}`).fails(400, wire.TypeBadRequest, "not a valid IP subnet")
	for _, bad := range []string{`{}`, `{"router":{}}`, `{"router":{"routes":[],"name":"x"}}`, `{"routes":[]}`, `[`} {
		c.do("PUT", path+"/add_extraroutes", bad).want(400)
	}
	revision := c.get(path).one()["revision_number"]
	c.do("PUT", path+"/add_extraroutes", `{"router":{"routes":[]}}`, "If-Match", "revision_number=999").want(412)
	c.do("PUT", path+"/add_extraroutes", `{"router":{"routes":[`+one+`]}}`, "If-Match", fmt.Sprintf("revision_number=%v", revision)).want(200)
}

func TestRoutersAreFilteredAndSorted(t *testing.T) {
	c := newCloud(t)
	for _, name := range []string{"b", "a", "c"} {
		c.post("/v2.0/routers", fmt.Sprintf(`{"router":{"name":%q,"project_id":"p-%s"}}`, name, name))
	}
	if got := column1(c.get("/v2.0/routers?sort_key=name&sort_dir=asc").list("routers"), "name"); got != "a b c" {
		t.Error(got)
	}
	if got := column1(c.get("/v2.0/routers?tenant_id=p-a&tenant_id=p-c&sort_key=name&sort_dir=desc&fields=name").list("routers"), "name"); got != "c a" {
		t.Error(got)
	}
	for _, bad := range []string{"status=ACTIVE", "external_gateway_info=x", "distributed=true"} {
		c.get("/v2.0/routers?"+bad).fails(400, wire.TypeBadRequest, "invalid attribute for filtering")
	}
	c.do("POST", "/v2.0/routers", `{"router":{"routes":[]}}`).fails(400, wire.TypeBadRequest, "not allowed in POST")
}

// api.md section 2.1: only an external network has is_default.
func TestTheDefaultExternalNetwork(t *testing.T) {
	c := newCloud(t)
	inner := c.post("/v2.0/networks", `{"network":{}}`)
	if _, there := inner["is_default"]; there {
		t.Errorf("an internal network has is_default: %v", inner)
	}
	const first = `{"network":{"router:external":true,"is_default":true}}`
	if outer := c.post("/v2.0/networks", first); outer["is_default"] != true {
		t.Errorf("the default external network: %v", outer)
	}
	c.do("POST", "/v2.0/networks", first).fails(409, "DefaultExternalNetworkExists", "already exists")
	c.do("POST", "/v2.0/networks", `{"network":{"is_default":true}}`).fails(400, "InvalidInput", "router:external")
}

// A project uses the subnets of an external network through its gateway and its
// floating IPs; it sees them when the network is shared with it too.
func TestTheSubnetsOfAnExternalNetworkAreHidden(t *testing.T) {
	c := newCloud(t)
	public, outside := c.external("public")
	alice := []string{"X-Project-Id", "alice", "X-Roles", "member"}
	seen := func() string {
		return column1(c.get("/v2.0/subnets?network_id="+public, alice...).list("subnets"), "id")
	}
	if got := seen(); got != "" {
		t.Errorf("alice sees %s", got)
	}
	c.get("/v2.0/networks/"+public, alice...).want(200)
	c.do("PUT", "/v2.0/networks/"+public, `{"network":{"shared":true}}`).want(200)
	if got := seen(); got != outside {
		t.Errorf("of a shared network alice sees %q", got)
	}
}
