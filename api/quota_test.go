package api

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"neutrino/api/wire"
	"neutrino/intent"
	"neutrino/intent/quota"
	"neutrino/store"
	"neutrino/store/engine/sqlite"
)

// limitedCloud is an API with quotas.
func limitedCloud(t testing.TB, path string, quotas map[string]int) *cloud {
	t.Helper()
	c := openCloud(t, sqlite.Options{Path: path}, Options{})
	config := wideConfig()
	config.Quotas = quotas
	var err error
	if c.h, err = New(intent.New(c.db, config), c.db, c.opts); err != nil {
		t.Fatal(err)
	}
	return c
}

// as are the headers of a member of a project.
func as(project string) []string { return []string{"X-Project-Id", project, "X-Roles", "member"} }

// limitOf and usedOf are a part of the details of a quota.
func (c *cloud) detail(project, resource, part string) int {
	c.t.Helper()
	row := c.get("/v2.0/quotas/" + project + "/details").want(200).one()[resource].(map[string]any)
	return int(row[part].(float64))
}

func TestQuotasAreNeutronsUnlessToldOtherwise(t *testing.T) {
	c := limitedCloud(t, sqlite.Memory, intent.DefaultConfig().Quotas)
	c.post("/v2.0/networks", `{"network":{}}`, as("alice")...)
	all := "map[address_scope:100 floatingip:50 metering_label:100 metering_label_rule:500 network:100 port:500 port_forwarding:500 " +
		"rbac_policy:10 router:10 security_group:10 security_group_rule:100 subnet:100 subnetpool:100]"
	for _, path := range []string{"/v2.0/quotas/alice", "/v2.0/quotas/alice/default", "/v2.0/quotas/alice.json"} {
		if got := fmt.Sprint(c.get(path, as("alice")...).want(200).json()["quota"]); got != all {
			t.Errorf("%s: %s", path, got)
		}
	}
	got := fmt.Sprint(c.get("/v2.0/quotas/alice/details.json").want(200).json()["quota"])
	for _, part := range []string{"network:map[limit:100 reserved:0 used:1]", "security_group:map[limit:10 reserved:0 used:1]",
		"security_group_rule:map[limit:100 reserved:0 used:4]", "port:map[limit:500 reserved:0 used:0]"} {
		if !strings.Contains(got, part) {
			t.Errorf("details lack %s: %s", part, got)
		}
	}
	for _, name := range []string{"tenant", "project"} {
		if got := c.get("/v2.0/quotas/"+name, as("alice")...).text; got != fmt.Sprintf(`{%q:{%q:"alice"}}`, name, name+"_id") {
			t.Error(got)
		}
	}
	if got := c.get("/v2.0/quotas").text; got != `{"quotas":[]}` {
		t.Error(got)
	}
	c.get("/v2.0/quotas", as("alice")...).fails(403, typePolicy, "get_quota")
	c.do("POST", "/v2.0/quotas", `{"quota":{}}`).fails(501, typeNotImplemented, "PUT")
	c.do("PATCH", "/v2.0/quotas/alice", "").want(405)
	c.do("PUT", "/v2.0/quotas", "").want(405)
	c.do("PUT", "/v2.0/quotas/alice/details", "").want(405)
	c.get("/v2.0/quotas/alice/other").fails(404, typeHTTPNotFound, "")
}

// The answer to a change is the whole quota, and a project without limits of its
// own has none to take away (api.md section 7, T25).
func TestAProjectIsGivenLimitsOfItsOwnAndLosesThemAgain(t *testing.T) {
	c := limitedCloud(t, sqlite.Memory, map[string]int{"network": 2, "port": 7})
	put := func(body string) *answer { return c.do("PUT", "/v2.0/quotas/alice", body) }
	c.do("DELETE", "/v2.0/quotas/alice", "").fails(404, "TenantQuotaNotFound", "alice")
	got := put(`{"quota":{"network":"3","router":0}}`).want(200).one()
	if len(got) != len(quota.Resources()) || got["network"] != 3.0 || got["port"] != 7.0 || got["router"] != 0.0 {
		t.Errorf("%v", got)
	}
	if got := put(`{"quota":{"port":-1}}`).one(); got["network"] != 3.0 || got["port"] != -1.0 {
		t.Errorf("what was not named changed: %v", got)
	}
	if got := c.get("/v2.0/quotas").list("quotas"); len(got) != 1 || got[0]["tenant_id"] != "alice" || got[0]["project_id"] != "alice" || got[0]["network"] != 3.0 {
		t.Errorf("%v", got)
	}
	c.do("POST", "/v2.0/routers", `{"router":{}}`, as("alice")...).fails(409, "OverQuota", "Quota exceeded for resources: ['router'].")
	for _, bad := range []string{`{"quota":{"colour":1}}`, `{"quota":{"network":-2}}`, `{"quota":{"network":2147483648}}`,
		`{"quota":{"network":null}}`, `{"quota":{"network":1.5}}`, `{"quota":{"network":"many"}}`, `{"network":1}`, `{}`, `[`} {
		put(bad).fails(400, wire.TypeBadRequest, "")
	}
	put(`{"quota":{"force":"perhaps"}}`).fails(400, "InvalidInput", "")

	c.post("/v2.0/networks", `{"network":{}}`, as("alice")...)
	c.post("/v2.0/networks", `{"network":{}}`, as("alice")...)
	put(`{"quota":{"network":1}}`).fails(400, wire.TypeBadRequest, "Quota limit 1 of network is below what project alice has already")
	put(`{"quota":{"network":1,"check_limit":true}}`).want(400)
	if c.detail("alice", "network", "limit") != 3 {
		t.Error("a refused change was made")
	}
	put(`{"quota":{"network":1,"force":true}}`).want(200)
	c.do("POST", "/v2.0/networks", `{"network":{}}`, as("alice")...).fails(409, "OverQuota", "['network']")
	c.do("DELETE", "/v2.0/quotas/alice", "").want(204)
	if got := c.get("/v2.0/quotas/alice").one(); got["network"] != 2.0 {
		t.Errorf("after it: %v", got)
	}
}

// Neutron asked its policy about the caller's project instead of the one in the
// path (api.md section 6, W28).
func TestAQuotaIsItsProjects(t *testing.T) {
	c := limitedCloud(t, sqlite.Memory, nil)
	for _, role := range []string{"reader", "member", "manager"} {
		who := []string{"X-Project-Id", "alice", "X-Roles", role}
		for _, what := range []string{"", "/default", "/details"} {
			c.get("/v2.0/quotas/alice"+what, who...).want(200)
			c.get("/v2.0/quotas/bob"+what, who...).fails(403, "AdminRequired", "bob")
		}
		for _, project := range []string{"alice", "bob"} {
			c.do("PUT", "/v2.0/quotas/"+project, `{"quota":{"network":1000}}`, who...).fails(403, typePolicy, "update_quota")
			c.do("DELETE", "/v2.0/quotas/"+project, "", who...).fails(403, typePolicy, "delete_quota")
		}
	}
}

// S21 (CVE-2022-3277, CVE-2023-3637): to list the security groups of a project
// that does not exist made it a default group, without limit.
func TestS21NothingThatIsOnlyReadIsWrittenOrCounted(t *testing.T) {
	c := limitedCloud(t, sqlite.Memory, intent.DefaultConfig().Quotas)
	before := c.db.Snapshot().Revision()
	for i := range 50 {
		nobody := fmt.Sprintf("nobody-%d", i)
		for _, path := range []string{
			"security-groups?project_id=" + nobody, "security-groups?tenant_id=" + nobody, "security-group-rules?project_id=" + nobody,
			"networks?project_id=" + nobody, "ports?tenant_id=" + nobody, "quotas/" + nobody, "quotas/" + nobody + "/details",
			"quotas/" + nobody + "/default", "security-groups/" + nobody, "quotas",
		} {
			c.get("/v2.0/" + path)
			c.get("/v2.0/"+path, as("alice")...)
			c.get("/v2.0/"+path, as(nobody)...)
		}
		if used := c.detail(nobody, "security_group", "used"); used != 0 {
			t.Fatalf("%s has %d groups", nobody, used)
		}
	}
	if after := c.db.Snapshot().Revision(); after != before {
		t.Errorf("reading made %d revisions", after-before)
	}
	// A member cannot make a group for another project either.
	c.do("POST", "/v2.0/security-groups", `{"security_group":{"name":"g","project_id":"nobody"}}`, as("alice")...).want(400)
	if n := store.Count(c.db.Snapshot(), store.GroupsByProject, "nobody"); n != 0 {
		t.Errorf("nobody has %d groups", n)
	}
	// And what writes is limited.
	for i := range 9 {
		c.post("/v2.0/security-groups", fmt.Sprintf(`{"security_group":{"name":"g%d"}}`, i), as("alice")...)
	}
	c.do("POST", "/v2.0/security-groups", `{"security_group":{"name":"one more"}}`, as("alice")...).fails(409, "OverQuota", "['security_group']")
}

func TestEveryResourceHasItsQuota(t *testing.T) {
	c := limitedCloud(t, sqlite.Memory, map[string]int{
		"network": 1, "subnet": 1, "port": 1, "router": 1, "floatingip": 1, "security_group": 2, "security_group_rule": 7,
		"subnetpool": 1, "rbac_policy": 1,
	})
	public, _ := c.external("public") // another project's
	alice := as("alice")
	net := c.post("/v2.0/networks", `{"network":{}}`, alice...)["id"].(string)
	group := c.post("/v2.0/security-groups", `{"security_group":{"name":"g"}}`, alice...)["id"].(string)
	for i, row := range []struct{ path, one, first, second string }{
		{"networks", "network", "", ``},
		{"subnets", "subnet", fmt.Sprintf(`"network_id":%q,"cidr":"10.0.0.0/24","ip_version":4`, net),
			fmt.Sprintf(`"network_id":%q,"cidr":"10.0.1.0/24","ip_version":4`, net)},
		{"ports", "port", fmt.Sprintf(`"network_id":%q`, net), fmt.Sprintf(`"network_id":%q`, net)},
		{"routers", "router", `"name":"r"`, ``},
		{"floatingips", "floatingip", fmt.Sprintf(`"floating_network_id":%q`, public), fmt.Sprintf(`"floating_network_id":%q`, public)},
		{"security-groups", "security_group", "", `"name":"h"`},
		{"security-group-rules", "security_group_rule", fmt.Sprintf(`"security_group_id":%q,"direction":"ingress","ethertype":"IPv4"`, group),
			fmt.Sprintf(`"security_group_id":%q,"direction":"ingress","ethertype":"IPv6"`, group)},
		{"subnetpools", "subnetpool", `"name":"p","prefixes":["10.0.0.0/8"]`, `"name":"q","prefixes":["10.0.0.0/8"]`},
		{"rbac-policies", "rbac_policy", fmt.Sprintf(`"object_type":"network","object_id":%q,"action":"access_as_shared","target_tenant":"bob"`, net),
			fmt.Sprintf(`"object_type":"network","object_id":%q,"action":"access_as_shared","target_tenant":"eve"`, net)},
	} {
		wrap := func(inside string) string { return fmt.Sprintf(`{%q:{%s}}`, row.one, inside) }
		if row.first != "" {
			c.post("/v2.0/"+row.path, wrap(row.first), alice...)
		}
		limit := c.detail("alice", row.one, "limit")
		if used := c.detail("alice", row.one, "used"); used != limit {
			t.Errorf("%d: %s: %d of %d are used", i, row.one, used, limit)
		}
		rev := c.db.Snapshot().Revision()
		c.do("POST", "/v2.0/"+row.path, wrap(row.second), alice...).fails(409, "OverQuota", "'"+row.one+"'")
		if c.db.Snapshot().Revision() != rev {
			t.Errorf("%s: the refused request wrote", row.one)
		}
	}
}

// A group brings two rules: the message names all that the request exceeds.
func TestARequestThatExceedsSeveralQuotasHearsOfAll(t *testing.T) {
	c := limitedCloud(t, sqlite.Memory, map[string]int{"security_group": 1, "security_group_rule": 4})
	c.post("/v2.0/networks", `{"network":{}}`, as("alice")...) // brings the default group
	c.do("POST", "/v2.0/security-groups", `{"security_group":{"name":"g"}}`, as("alice")...).
		fails(409, "OverQuota", "Quota exceeded for resources: ['security_group', 'security_group_rule'].")
}

// Ports of gateways and floating IPs are nobody's, a DHCP port is its network's;
// what the cloud makes is counted, but not refused.
func TestWhoPaysForThePortsOfTheCloud(t *testing.T) {
	c := limitedCloud(t, sqlite.Memory, map[string]int{"port": 1})
	public, _ := c.external("public")
	alice := as("alice")
	net := c.post("/v2.0/networks", `{"network":{}}`, alice...)["id"].(string)
	subnet := c.post("/v2.0/subnets", fmt.Sprintf(`{"subnet":{"network_id":%q,"cidr":"10.0.0.0/24","ip_version":4}}`, net), alice...)["id"].(string)
	router := c.post("/v2.0/routers", fmt.Sprintf(`{"router":{"external_gateway_info":{"network_id":%q}}}`, public), alice...)["id"].(string)
	c.post("/v2.0/floatingips", fmt.Sprintf(`{"floatingip":{"floating_network_id":%q}}`, public), alice...)
	if n := c.detail("alice", "port", "used"); n != 0 {
		t.Errorf("%d ports for a gateway and a floating IP", n)
	}
	c.post("/v2.0/ports", fmt.Sprintf(`{"port":{"network_id":%q}}`, net), alice...)
	c.do("PUT", "/v2.0/routers/"+router+"/add_router_interface", fmt.Sprintf(`{"subnet_id":%q}`, subnet), alice...).want(200)
	if n := c.detail("alice", "port", "used"); n != 2 {
		t.Errorf("%d ports with the interface", n)
	}
	c.do("POST", "/v2.0/ports", fmt.Sprintf(`{"port":{"network_id":%q}}`, net), alice...).fails(409, "OverQuota", "['port']")
}

// race runs 64 clients over real connections and counts the answers by status.
func race(t *testing.T, srv *httptest.Server, client func(n int, send func(method, path, body string) (int, string))) map[int]int {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	defer transport.CloseIdleConnections()
	statuses := map[int]int{}
	var mu sync.Mutex
	var clients sync.WaitGroup
	for n := range 64 {
		clients.Go(func() {
			client(n, func(method, path, body string) (int, string) {
				req, err := http.NewRequestWithContext(t.Context(), method, srv.URL+path, bytes.NewReader([]byte(body)))
				if err != nil {
					t.Error(err)
					return 0, ""
				}
				for i, h := 0, as("alice"); i < len(h); i += 2 {
					req.Header.Set(h[i], h[i+1])
				}
				resp, err := transport.RoundTrip(req)
				if err != nil {
					t.Error(err)
					return 0, ""
				}
				defer resp.Body.Close()
				text, _ := io.ReadAll(resp.Body)
				if resp.StatusCode == 409 && !strings.Contains(string(text), `"OverQuota"`) || resp.StatusCode >= 500 {
					t.Errorf("%s %s: %d %s", method, path, resp.StatusCode, text)
				}
				mu.Lock()
				statuses[resp.StatusCode]++
				mu.Unlock()
				return resp.StatusCode, string(text)
			})
		})
	}
	clients.Wait()
	return statuses
}

// raceCloud is a network of alice's on a durable store, behind a real listener.
func raceCloud(t *testing.T, ports int) (c *cloud, srv *httptest.Server, net string) {
	t.Helper()
	c = limitedCloud(t, filepath.Join(t.TempDir(), "db"), map[string]int{"port": ports})
	srv = httptest.NewServer(c.h)
	t.Cleanup(srv.Close)
	net = c.post("/v2.0/networks", `{"network":{}}`, as("alice")...)["id"].(string)
	c.post("/v2.0/subnets", fmt.Sprintf(`{"subnet":{"network_id":%q,"cidr":"10.0.0.0/16","ip_version":4}}`, net), as("alice")...)
	return c, srv, net
}

func TestSixtyFourClientsRaceForTheLastTenPorts(t *testing.T) {
	c, srv, net := raceCloud(t, 30)
	one := fmt.Sprintf(`{"network_id":%q}`, net)
	c.do("POST", "/v2.0/ports", `{"ports":[`+strings.TrimSuffix(strings.Repeat(one+",", 20), ",")+`]}`, as("alice")...).want(201)
	got := race(t, srv, func(_ int, send func(method, path, body string) (int, string)) {
		send("POST", "/v2.0/ports", `{"port":`+one+`}`)
	})
	if got[201] != 10 || got[409] != 54 || c.detail("alice", "port", "used") != 30 {
		t.Errorf("%v, %d ports", got, c.detail("alice", "port", "used"))
	}
}

// Bulk requests are whole: of 64 for three ports each, exactly as many succeed as
// fit.
func TestSixtyFourClientsRaceWithBulkRequests(t *testing.T) {
	c, srv, net := raceCloud(t, 32)
	three := strings.TrimSuffix(strings.Repeat(fmt.Sprintf(`{"network_id":%q},`, net), 3), ",")
	got := race(t, srv, func(_ int, send func(method, path, body string) (int, string)) {
		send("POST", "/v2.0/ports", `{"ports":[`+three+`]}`)
	})
	if got[201] != 10 || got[409] != 54 || c.detail("alice", "port", "used") != 30 {
		t.Errorf("%v, %d ports", got, c.detail("alice", "port", "used"))
	}
}

// At the limit, what is given back can be taken again, and never more than there
// is; each client deletes only what it made.
func TestSixtyFourClientsCreateAndDeleteAtTheLimit(t *testing.T) {
	c, srv, net := raceCloud(t, 8)
	body := fmt.Sprintf(`{"port":{"network_id":%q}}`, net)
	over := make(chan int, 1)
	stop := make(chan struct{})
	go func() { // looks at every revision that it meets
		most := 0
		for {
			most = max(most, store.Count(c.db.Snapshot(), store.PortsByProject, "alice"))
			select {
			case <-stop:
				over <- most
				return
			default:
			}
		}
	}()
	got := race(t, srv, func(_ int, send func(method, path, body string) (int, string)) {
		for range 10 {
			status, text := send("POST", "/v2.0/ports", body)
			if status != 201 {
				continue
			}
			_, rest, _ := strings.Cut(text, `"port":{"id":"`)
			id, _, _ := strings.Cut(rest, `"`)
			if status, text := send("DELETE", "/v2.0/ports/"+id, ""); status != 204 {
				t.Errorf("delete: %d %s", status, text)
			}
		}
	})
	close(stop)
	if most := <-over; most > 8 {
		t.Errorf("there were %d ports at once", most)
	}
	if got[201] < 8 || got[201] != got[204] || got[201]+got[409] != 640 {
		t.Errorf("%v", got)
	}
	if used := c.detail("alice", "port", "used"); used != 0 {
		t.Errorf("%d ports are left", used)
	}
	c.post("/v2.0/ports", body, as("alice")...)
	t.Logf("%v", got)
}
