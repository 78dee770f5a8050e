package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"neutrino"
	"neutrino/api/openapi"
	"neutrino/api/wire"
	"neutrino/auth"
	"neutrino/intent"
	"neutrino/store"
	"neutrino/store/engine/sqlite"
	"neutrino/store/storetest"
)

// cloud is a running API on a store in memory.
type cloud struct {
	t    testing.TB
	db   *store.DB
	h    http.Handler
	opts Options
	log  bytes.Buffer
}

func newCloud(t testing.TB) *cloud {
	return openCloud(t, sqlite.Options{Path: sqlite.Memory}, Options{})
}

func openCloud(t testing.TB, where sqlite.Options, opts Options) *cloud {
	t.Helper()
	db := storetest.OpenAt(t, where)
	c := &cloud{t: t, db: db}
	if opts.Log == nil {
		opts.Log = slog.New(slog.NewTextHandler(&c.log, &slog.HandlerOptions{Level: slog.LevelError}))
	}
	c.opts = opts
	var err error
	if c.h, err = New(intent.New(db, wideConfig()), db, opts); err != nil {
		t.Fatal(err)
	}
	return c
}

// wideConfig has room for many networks.
func wideConfig() intent.Config {
	c := intent.DefaultConfig()
	for typ := range c.TunnelRanges {
		c.TunnelRanges[typ] = []intent.Range{{Min: 1, Max: 100_000}}
	}
	c.Quotas = nil
	return c
}

// answer is a response with its body parsed.
type answer struct {
	t      testing.TB
	status int
	header http.Header
	text   string
}

// do sends a request; headers are name, value, name, value.
func (c *cloud) do(method, path, body string, headers ...string) *answer {
	c.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	c.h.ServeHTTP(w, r)
	text, _ := io.ReadAll(w.Result().Body)
	return &answer{c.t, w.Code, w.Result().Header, string(text)}
}

func (c *cloud) get(path string, headers ...string) *answer { return c.do("GET", path, "", headers...) }

// post creates and returns the one object inside the answer.
func (c *cloud) post(path, body string, headers ...string) map[string]any {
	c.t.Helper()
	return c.do("POST", path, body, headers...).want(201).one()
}

func (a *answer) want(status int) *answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("status %d, want %d: %s", a.status, status, a.text)
	}
	return a
}

// fails checks status, type and a part of the message of an error.
func (a *answer) fails(status int, typ, message string) {
	a.t.Helper()
	var e struct {
		NeutronError struct{ Type, Message, Detail string }
	}
	if err := json.Unmarshal([]byte(a.text), &e); err != nil {
		a.t.Fatalf("status %d, body is not JSON: %q", a.status, a.text)
	}
	if a.status != status || e.NeutronError.Type != typ || !strings.Contains(e.NeutronError.Message, message) {
		a.t.Fatalf("got %d %s\nwant %d %s %q", a.status, a.text, status, typ, message)
	}
}

func (a *answer) json() map[string]any {
	a.t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(a.text), &v); err != nil {
		a.t.Fatalf("body is not JSON: %q: %v", a.text, err)
	}
	return v
}

// one is the object inside {"<name>": {…}}.
func (a *answer) one() map[string]any {
	a.t.Helper()
	for _, v := range a.json() {
		return v.(map[string]any)
	}
	a.t.Fatal("empty answer")
	return nil
}

// list is the objects inside {"<name>": […]}.
func (a *answer) list(name string) []map[string]any {
	a.t.Helper()
	raw, ok := a.want(200).json()[name].([]any)
	if !ok {
		a.t.Fatalf("no list %q in %s", name, a.text)
	}
	out := []map[string]any{}
	for _, v := range raw {
		out = append(out, v.(map[string]any))
	}
	return out
}

// column is one attribute of each row, joined.
func column1(rows []map[string]any, name string) string {
	var out []string
	for _, r := range rows {
		out = append(out, fmt.Sprint(r[name]))
	}
	return strings.Join(out, " ")
}

func (c *cloud) network(name string) string {
	c.t.Helper()
	return c.post("/v2.0/networks", fmt.Sprintf(`{"network":{"name":%q}}`, name))["id"].(string)
}

func (c *cloud) subnet(network, cidr string) string {
	c.t.Helper()
	version := 4
	if strings.Contains(cidr, ":") {
		version = 6
	}
	return c.post("/v2.0/subnets", fmt.Sprintf(`{"subnet":{"network_id":%q,"cidr":%q,"ip_version":%d}}`,
		network, cidr, version))["id"].(string)
}

func (c *cloud) port(network, more string) map[string]any {
	c.t.Helper()
	return c.post("/v2.0/ports", fmt.Sprintf(`{"port":{"network_id":%q%s}}`, network, more))
}

// agent stores an agent as the feed does.
func (c *cloud) agent(typ, host, zone string) neutrino.ID {
	c.t.Helper()
	now := time.Now().UTC().Truncate(time.Second)
	id := neutrino.NewID([16]byte{byte(len(host)), host[len(host)-1], typ[0]})
	_, err := c.db.Update(context.Background(), func(tx *store.Tx) error {
		store.Put(tx, store.Agents, &neutrino.Agent{
			ID: id, AgentType: typ, Binary: neutrino.BinaryDHCP, Host: host, AdminStateUp: true,
			CreatedAt: now, StartedAt: now, HeartbeatAt: now, AvailabilityZone: zone,
		})
		return nil
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return id
}

func TestVersionDiscovery(t *testing.T) {
	c := newCloud(t)
	if got, want := c.get("/").want(200).text,
		`{"versions":[{"id":"v2.0","status":"CURRENT","links":[{"rel":"self","href":"http://example.com/v2.0/"}]}]}`; got != want {
		t.Errorf("got %s", got)
	}
	if got := c.get("/", "X-Forwarded-Proto", "https").text; !strings.Contains(got, `"https://example.com/v2.0/"`) {
		t.Errorf("X-Forwarded-Proto not followed: %s", got)
	}
	for _, path := range []string{"/v2.0", "/v2.0/"} {
		names := column1(c.get(path).list("resources"), "name")
		for _, name := range []string{"network", "subnet", "port"} {
			if !strings.Contains(names, name) {
				t.Errorf("%s lacks %s: %s", path, name, names)
			}
		}
	}
	for _, path := range []string{"/v2.0/networks", "/v2.0/networks/", "/v2.0/networks.json"} {
		c.get(path).list("networks")
	}
}

func TestExtensionsAreListedAndShownAlike(t *testing.T) {
	c := newCloud(t)
	list := c.get("/v2.0/extensions").list("extensions")
	if len(list) < 20 {
		t.Errorf("only %d extensions", len(list))
	}
	for _, e := range list {
		one := c.get("/v2.0/extensions/" + e["alias"].(string)).want(200).one()
		if fmt.Sprint(one) != fmt.Sprint(e) {
			t.Errorf("shown %v, listed %v", one, e)
		}
	}
	c.get("/v2.0/extensions/dvr").fails(404, typeHTTPNotFound, "dvr")
}

func TestMethodsAndPathsThatDoNotExist(t *testing.T) {
	c := newCloud(t)
	id := c.network("n")
	for _, row := range []struct {
		method, path string
		status       int
	}{
		{"HEAD", "/v2.0/networks", 405}, {"PATCH", "/v2.0/networks", 405}, {"PUT", "/v2.0/networks", 405},
		{"DELETE", "/v2.0/networks", 405}, {"HEAD", "/v2.0/networks/" + id, 405}, {"PATCH", "/v2.0/networks/" + id, 405},
		{"POST", "/v2.0/networks/" + id, 405}, {"POST", "/", 405}, {"PUT", "/v2.0/", 405}, {"POST", "/v2.0/agents", 405},
		{"POST", "/v2.0/extensions", 405}, {"PUT", "/v2.0/security-group-rules/x", 405}, {"POST", "/v2.0/availability_zones", 405},
		{"GET", "/v3", 404}, {"GET", "/v2.0/trunks", 404}, {"GET", "/v2.0/networks/" + id + "/nothing", 404},
		{"GET", "/v2.0/networks/" + id + "/dhcp-agents/x", 404}, {"POST", "/v2.0/networks/" + id + "/dhcp-agents", 405},
		{"GET", "/v2.0/availability_zones/nova", 404}, {"GET", "/v2.0/availability_zones/nova/x", 404}, {"POST", "/v2.0/floatingip_pools", 405},
		{"GET", "/v2.0/subnets/" + id + "/x", 404}, {"GET", "/v2.0/routers/" + id + "/nothing", 404},
		{"GET", "/v2.0/routers/" + id + "/add_router_interface", 405}, {"PUT", "/v2.0/routers/" + id + "/add_router_interface/x", 404},
		{"PUT", "/v2.0/agents/x/l3-routers", 405}, {"GET", "/v2.0/agents/x/l3-routers/y", 405}, {"GET", "/v2.0/agents/x/l3-routers/y/z", 404},
		{"PUT", "/v2.0/network-ip-availabilities/" + id, 405}, {"POST", "/v2.0/service-providers", 405},
		{"POST", "/v2.0/nothing", 404}, {"GET", "/v2.0/extensions/a/b", 404}, {"GET", "/v2.0/networks/%zz", 400},
	} {
		if row.path == "/v2.0/networks/%zz" {
			continue // net/http refuses it before us
		}
		a := c.do(row.method, row.path, "").want(row.status)
		if row.status == 405 && a.header.Get("Allow") == "" {
			t.Errorf("%s %s: 405 without Allow", row.method, row.path)
		}
	}
}

func TestEveryAnswerHasARequestID(t *testing.T) {
	c := newCloud(t)
	id := c.network("n")
	seen := map[string]bool{}
	for _, a := range []*answer{c.get("/"), c.get("/nothing"), c.get("/v2.0/networks"), c.do("POST", "/v2.0/networks", "{"),
		c.do("DELETE", "/v2.0/networks/"+id, "").want(204), c.get("/v2.0/ports", headerRequestID, "req-mine")} {
		got := a.header.Get(headerRequestID)
		if !strings.HasPrefix(got, "req-") || !neutrino.IsUUID(got[4:]) || seen[got] {
			t.Errorf("request id %q", got)
		}
		seen[got] = true
		if a.status == 204 && (a.header.Get("Content-Type") != "" || a.text != "") {
			t.Errorf("204 with a body: %v %q", a.header, a.text)
		}
		if a.status != 204 && a.header.Get("Content-Type") != "application/json" {
			t.Errorf("%d without a content type", a.status)
		}
	}
}

func TestAPanicIsA500WithoutInternals(t *testing.T) {
	c := newCloud(t)
	a := c.h.(*api)
	a.resources["boom"] = boom{}
	c.get("/v2.0/boom").fails(500, wire.TypeInternal, "Request Failed: internal server error")
	got := c.get("/v2.0/boom/1")
	got.fails(500, wire.TypeInternal, "Request Failed: internal server error")
	if strings.Contains(got.text, "secret") || !strings.Contains(c.log.String(), "secret") {
		t.Errorf("answer %q, log %q", got.text, c.log.String())
	}
}

// boom is a resource with defects.
type boom struct{}

func (boom) called() names                           { return names{path: "boom"} }
func (boom) routes() []route                         { return nil }
func (boom) guard(*auth.Policy)                      {}
func (boom) size(store.Reader) int                   { return 0 }
func (boom) describe() *openapi.Resource             { return nil }
func (boom) collection(*call) (*reply, error)        { panic("secret") }
func (boom) item(*call, neutrino.ID) (*reply, error) { return nil, fmt.Errorf("secret") }

func TestABodyThatIsTooLargeIsRefused(t *testing.T) {
	c := openCloud(t, sqlite.Options{Path: sqlite.Memory}, Options{MaxBody: 100})
	c.do("POST", "/v2.0/networks", `{"network":{"name":"`+strings.Repeat("x", 200)+`"}}`).fails(413, typeTooLarge, "100 bytes")
}

func TestEachRequestIsOneLineInTheLog(t *testing.T) {
	var log bytes.Buffer
	c := openCloud(t, sqlite.Options{Path: sqlite.Memory}, Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	a := c.get("/v2.0/networks?name=x")
	line := strings.TrimSpace(log.String())
	if strings.Contains(line, "\n") {
		t.Errorf("more than a line: %s", line)
	}
	for _, part := range []string{a.header.Get(headerRequestID), "status=200", "duration=", "method=GET", "/v2.0/networks?name=x"} {
		if !strings.Contains(line, part) {
			t.Errorf("the line lacks %q: %s", part, line)
		}
	}
}

func TestNoauthReadsTheCallerFromHeaders(t *testing.T) {
	for _, row := range []struct {
		headers []string
		project string
		admin   bool
	}{
		{nil, "default", true},
		{[]string{"X-Project-Id", "p"}, "p", true},
		{[]string{"X-Tenant-Id", "t"}, "t", true},
		{[]string{"X-Project-Id", "p", "X-Roles", "member,reader"}, "p", false},
		{[]string{"X-Roles", "member, ADMIN"}, "default", true},
		{[]string{"X-Roles", ""}, "default", false},
	} {
		h := http.Header{}
		for i := 0; i < len(row.headers); i += 2 {
			h.Add(row.headers[i], row.headers[i+1])
		}
		who, err := auth.NoAuth(DefaultProject).Authenticate(t.Context(), h)
		if err != nil {
			t.Fatal(err)
		}
		policy, err := auth.NewPolicy(nil)
		if err != nil {
			t.Fatal(err)
		}
		got := callerOf(who, policy.For(who), "req")
		if got.ProjectID != row.project || got.Admin != row.admin {
			t.Errorf("%v: %+v", row.headers, got)
		}
	}
}
