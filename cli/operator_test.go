package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"neutrino"
	asking "neutrino/auth"
	"neutrino/intent"
)

// users are who asks, by the token: its name, in the project of that name.
type users struct{}

func (users) Authenticate(_ context.Context, h http.Header) (asking.Identity, error) {
	roles := map[string]string{"admin": "admin", "demo": "member"}
	name := h.Get("X-Auth-Token")
	if roles[name] == "" {
		return asking.Identity{}, &asking.Unauthorized{Challenge: `Keystone uri="http://id.example"`, Reason: "no token"}
	}
	return asking.Identity{UserID: name, ProjectID: name + "-id", Roles: asking.Implied([]string{roles[name]})}, nil
}

// identity is a Keystone with the projects admin and demo, each with one user
// of its name and the password secret, and the domain Default. Only admin may
// look at what there is. logins are the bodies that were sent to log in.
func identity(t *testing.T, network string, logins *[]string) string {
	say := func(w http.ResponseWriter, status int, v any) {
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(v)
	}
	refuse := func(w http.ResponseWriter, status int) {
		say(w, status, map[string]any{"error": map[string]any{"code": status, "title": http.StatusText(status), "message": "no"}})
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v3/auth/tokens", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		*logins = append(*logins, string(body))
		name := "demo"
		if strings.Contains(string(body), `"admin"`) {
			name = "admin"
		}
		if !strings.Contains(string(body), `"secret":"secret"`) && !strings.Contains(string(body), `"password":"secret"`) {
			refuse(w, http.StatusUnauthorized)
			return
		}
		w.Header().Set("X-Subject-Token", name)
		endpoint := map[string]string{"interface": "public", "region": "one", "url": network}
		say(w, http.StatusCreated, map[string]any{"token": map[string]any{"project": map[string]string{"id": name + "-id", "name": name},
			"catalog": []any{map[string]any{"type": "network", "endpoints": []any{endpoint}}}}})
	})
	for kind, ids := range map[string]map[string]string{"project": {"admin": "admin-id", "demo": "demo-id"}, "domain": {"Default": "default"}} {
		mux.HandleFunc("GET /v3/"+kind+"s/{id}", func(w http.ResponseWriter, r *http.Request) {
			for name, id := range ids {
				if id == r.PathValue("id") && r.Header.Get("X-Auth-Token") == "admin" {
					say(w, http.StatusOK, map[string]any{kind: map[string]string{"id": id, "name": name}})
					return
				}
			}
			refuse(w, http.StatusNotFound)
		})
		mux.HandleFunc("GET /v3/"+kind+"s", func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("X-Auth-Token") != "admin" {
				refuse(w, http.StatusForbidden)
				return
			}
			rows, q := []map[string]string{}, r.URL.Query()
			if id := ids[q.Get("name")]; id != "" && (q.Get("domain_id") == "" || q.Get("domain_id") == "default") {
				rows = append(rows, map[string]string{"id": id, "name": q.Get("name")})
			}
			say(w, http.StatusOK, map[string]any{kind + "s": rows})
		})
	}
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL + "/v3"
}

// as is the environment of a user.
func as(user, keystone string) source {
	return from(map[string]string{"OS_AUTH_URL": keystone, "OS_USERNAME": user, "OS_PASSWORD": "secret", "OS_PROJECT_NAME": user,
		"OS_USER_DOMAIN_NAME": "Default", "OS_PROJECT_DOMAIN_NAME": "Default"})
}

// operated is a cloud with users, a network host and a compute host, and an
// external network.
func operated(t *testing.T) (*cloud, string) {
	c := newCloudFor(t, users{})
	c.hosts()
	var logins []string
	keystone := identity(t, c.url, &logins)
	c.source = as("admin", keystone)
	c.run("neutrino network create public --external --provider-network-type flat --provider-physical-network physnet1")
	c.run("neutrino subnet create public-v4 --network public --subnet-range 198.51.100.0/24 --no-dhcp")
	return c, keystone
}

// hosts registers a network host and a compute host.
func (c *cloud) hosts() {
	c.t.Helper()
	svc := intent.New(c.db, intent.DefaultConfig())
	for host, services := range map[string][]string{"network1": {neutrino.AgentOVS, neutrino.AgentDHCP, neutrino.AgentL3}, "compute1": {neutrino.AgentOVS}} {
		err := svc.Do(c.t.Context(), intent.Caller{Admin: true}, func(tx *intent.Tx) error {
			return intent.Register(tx, neutrino.Registration{Host: host, Zone: "nova", StartedAt: time.Now(), TunnelIP: netip.MustParseAddr("192.0.2.1"),
				TunnelTypes: []string{"gre", "vxlan"}, BridgeMappings: map[string]string{"physnet1": "br-ex"}, Services: services})
		})
		if err != nil {
			c.t.Fatal(err)
		}
	}
}

// TestWhatTheRealClientDoesThisOneDoes runs the story that the real openstack
// client is held to, with the same words and the same answers. Its form is told
// at its head.
func TestWhatTheRealClientDoesThisOneDoes(t *testing.T) {
	text, err := os.ReadFile("../conformance/openstack.story")
	if err != nil {
		t.Fatal(err)
	}
	c, keystone := operated(t)
	known := map[string]string{}
	var s scene
	for n, line := range strings.Split(string(text), "\n") {
		switch {
		case strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, " "):
			s.expect = append(s.expect, strings.TrimSpace(line))
		default:
			s.play(c, known, keystone)
			s = scene{line: n + 1, command: line}
		}
	}
	s.play(c, known, keystone)
}

// scene is a command of the story and what is expected of it.
type scene struct {
	line    int
	command string
	expect  []string
}

func (s scene) play(c *cloud, known map[string]string, keystone string) {
	c.t.Helper()
	if s.command == "" {
		return
	}
	fill := func(text string) string { return os.Expand(text, func(name string) string { return known[name] }) }
	command, fails := strings.CutPrefix(fill(s.command), "! ")
	user := "admin"
	if rest, ok := strings.CutPrefix(command, "@demo "); ok {
		user, command = "demo", rest
	}
	if len(s.expect) > 0 && !fails {
		command += " -f json"
	}
	c.source = as(user, keystone)
	out, err := c.try("neutrino " + command)
	if (err != nil) != fails {
		c.t.Errorf("line %d: %s: %v\n%s%s", s.line, s.command, err, c.errors, out)
		return
	}
	var answer any
	if !fails && len(s.expect) > 0 {
		if answer, err = parseJSON([]byte(out)); err != nil {
			c.t.Errorf("line %d: %s: %v", s.line, s.command, err)
			return
		}
	}
	for _, e := range s.expect {
		if err := expected(answer, c.errors+fmt.Sprint(err), e, known); err != nil {
			c.t.Errorf("line %d: %s: %v", s.line, s.command, err)
		}
	}
}

// expected holds an answer, or a complaint where there is none, to one line of
// expectation.
func expected(answer any, complaint, line string, known map[string]string) error {
	if answer == nil {
		if ok, err := regexp.MatchString(line, complaint); !ok {
			return fmt.Errorf("it says %q, want %q: %v", complaint, line, err)
		}
		return nil
	}
	plain := func(v any) string {
		if s, ok := v.(string); ok {
			return s
		}
		b, _ := marshal(v)
		return string(b)
	}
	parts := regexp.MustCompile(`^(.+?) (=|~|>|has|lacks) (.+)$`).FindStringSubmatch(line)
	if parts == nil {
		return fmt.Errorf("%q is no expectation", line)
	}
	key, op, want := parts[1], parts[2], os.Expand(parts[3], func(name string) string { return known[name] })
	rows, _ := answer.([]any)
	if op == "~" {
		want = parts[3]
	}
	if op == "has" || op == "lacks" {
		there := slices.ContainsFunc(rows, func(row any) bool { o, _ := row.(object); return o.has(key) && plain(o.get(key)) == want })
		if there != (op == "has") {
			return fmt.Errorf("%s: it is not so in %s", line, plain(answer))
		}
		return nil
	}
	row, _ := answer.(object)
	if !row.has(key) {
		return fmt.Errorf("there is no %s", key)
	}
	got := plain(row.get(key))
	matched, err := got == want, error(nil)
	switch op {
	case ">":
		known[parts[3]], matched = got, true
	case "~":
		matched, err = regexp.MatchString(os.Expand(want, func(name string) string {
			if name == "" || known[name] == "" {
				return "$"
			}
			return known[name]
		}), got)
	}
	if !matched || err != nil {
		return fmt.Errorf("%s is %s, want %s %s: %v", key, got, op, want, err)
	}
	return nil
}
