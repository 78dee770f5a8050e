package policytest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"neutrino"
	"neutrino/api"
	"neutrino/intent"
	"neutrino/intent/defaultgroup"
	"neutrino/store"
	"neutrino/store/storetest"
)

// The projects. They look like Keystone's ids, because shares name them.
const (
	owner    = "0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a01"
	other    = "0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a02"
	target   = "0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a03" // what is shared with one project is shared with this one
	landlord = "0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a04" // owns the network of others' ports
	operator = "0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a05"
)

func nameOf(project string) string {
	names := map[string]string{owner: "owner", other: "other", target: "target", landlord: "landlord", operator: "operator"}
	if n := names[project]; n != "" {
		return n
	}
	return project
}

// callers are every role in every one of the projects. The roles are listed
// with those that they imply, as Keystone does in a token.
func callers(projects ...string) []caller {
	var out []caller
	for _, p := range projects {
		for _, roles := range []string{"admin,manager,member,reader", "manager,member,reader", "member,reader", "reader", "service", "guest"} {
			list := strings.Split(roles, ",")
			out = append(out, caller{role: list[0], project: p, roles: list})
		}
	}
	return out
}

// administrator makes the fixtures.
func administrator() caller { return callers(operator)[0] }

// world is a server on a store in memory, with one scene built in it.
type world struct {
	t   testing.TB
	db  *store.DB
	h   http.Handler
	svc *intent.Service
	ids map[string]string // of the scene's objects, and what else a request names
	n   int               // counts what must be unique
	// shares are the targets of the objects that are shared, by id.
	shares map[string]fact
	stale  bool // a request has changed the scene
}

func newWorld(t testing.TB) *world {
	t.Helper()
	db := storetest.Open(t)
	config := intent.DefaultConfig()
	for typ := range config.TunnelRanges {
		config.TunnelRanges[typ] = []intent.Range{{Min: 1, Max: 100_000}}
	}
	config.Quotas = nil // what is counted here is answers, not objects
	svc := intent.New(db, config)
	w := &world{t: t, db: db, ids: map[string]string{}, shares: map[string]fact{}}
	w.h = handler(t, svc, db)
	w.svc = svc
	w.register()
	w.writeDefaultGroup(administrator().project)
	return w
}

// writeDefaultGroup writes the group of the project that makes the fixtures:
// what is only shown to itself is no fixture.
func (w *world) writeDefaultGroup(project string) {
	err := w.svc.Do(context.Background(), intent.Caller{Admin: true}, func(tx *intent.Tx) error {
		_, err := defaultgroup.Ensure(tx, project)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// register makes two hosts that serve everything known, as the feed does.
func (w *world) register() {
	for _, host := range []string{"net1", "net2"} {
		err := w.svc.Do(context.Background(), intent.Caller{Admin: true}, func(tx *intent.Tx) error {
			return intent.Register(tx, neutrino.Registration{
				Host: host, StartedAt: time.Now(), TunnelIP: netip.MustParseAddr("192.0.2.1"), TunnelTypes: []string{"gre", "vxlan"},
				BridgeMappings: map[string]string{"physnet1": "br-ex"},
				Services:       []string{neutrino.AgentOVS, neutrino.AgentDHCP, neutrino.AgentL3},
			})
		})
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

// handler is the API as an operator has it with auth_strategy = noauth, with
// the policy's defaults.
func handler(t testing.TB, svc *intent.Service, db *store.DB) http.Handler {
	t.Helper()
	log := slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelError}))
	h, err := api.New(svc, db, api.Options{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// answer is what came back.
type answer struct {
	status int
	text   string
}

// kind is the type of an error's body, or a word for what it is instead.
func (a answer) kind() string {
	var e struct {
		NeutronError struct{ Type, Message string }
	}
	switch {
	case a.text == "" || a.text == "null":
		return "empty"
	case json.Unmarshal([]byte(a.text), &e) != nil:
		return "no JSON"
	case a.status < 400:
		return "object"
	case e.NeutronError.Type == "":
		return "no NeutronError"
	}
	return e.NeutronError.Type
}

// one is the object inside {"<name>": {…}}.
func (a answer) one(name string) map[string]any {
	var body map[string]map[string]any
	json.Unmarshal([]byte(a.text), &body)
	return body[name]
}

// rows are the objects inside {"<name>": […]}.
func (a answer) rows(name string) []map[string]any {
	var body map[string][]map[string]any
	json.Unmarshal([]byte(a.text), &body)
	return body[name]
}

func (w *world) send(c caller, method, path, body string) answer {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("X-Roles", strings.Join(c.roles, ","))
	r.Header.Set("X-Project-Id", c.project)
	r.Header.Set("X-User-Id", "u"+c.project)
	rec := httptest.NewRecorder()
	w.h.ServeHTTP(rec, r)
	return answer{rec.Code, rec.Body.String()}
}

// missing is what a scene needs and the server does not have.
type missing string

// admin sends a request that must succeed, for the scene.
func (w *world) admin(method, path, body string) answer {
	a := w.send(administrator(), method, path, w.fill(body))
	if a.status >= 300 {
		panic(missing(fmt.Sprintf("%s %s %s: %d %s", method, path, w.fill(body), a.status, a.text)))
	}
	return a
}

// makes creates an object and remembers its id.
func (w *world) makes(token, path, one, fields string) map[string]any {
	made := w.admin("POST", w.fill(path), `{"`+one+`":{`+fields+`}}`).one(one)
	w.ids[token], _ = made["id"].(string)
	return made
}

// agent finds the agent of a type on a host.
func (w *world) agent(typ, host string) string {
	for a := range store.By(w.db.Snapshot(), store.AgentsByHost, host) {
		if a.AgentType == typ {
			return string(a.ID)
		}
	}
	panic(missing("no " + typ + " on " + host))
}

var token = regexp.MustCompile(`<[a-z0-9_]+>`)

// nothing is the id of no object.
const nothing = "dddddddd-dddd-4ddd-8ddd-dddddddddddd"

// fill replaces the tokens of a request by ids, and by values that are new each
// time.
func (w *world) fill(text string) string {
	return token.ReplaceAllStringFunc(text, func(t string) string {
		w.n++
		switch name := t[1 : len(t)-1]; name {
		case "nothing":
			return nothing
		case "number":
			return fmt.Sprint(50_000 + w.n)
		case "mac":
			return fmt.Sprintf("fa:16:3e:%02x:%02x:%02x", 1+w.n>>16&255, w.n>>8&255, w.n&255)
		case "cidr":
			return fmt.Sprintf("10.%d.%d.0/24", w.n>>8&255, w.n&255)
		case "public":
			return fmt.Sprintf("198.19.%d.%d", w.n/200%256, 10+w.n%200)
		case "tcpport":
			return fmt.Sprint(1024 + w.n%60_000)
		case "somebody":
			return fmt.Sprintf("0b0b0b0b0b0b0b0b0b0b0b0b%08x", w.n)
		default:
			if w.ids[name] == "" {
				panic(missing("nothing is called " + t))
			}
			return w.ids[name]
		}
	})
}
