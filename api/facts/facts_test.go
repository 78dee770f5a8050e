// Package facts holds the API against the reference's facts, line by line: each
// file of testdata is a section of api.md, as requests with their answers.
package facts

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"neutrino"
	"neutrino/api"
	"neutrino/intent"
	"neutrino/store/storetest"
)

// A file has stories, each on a server of its own:
//
//	== <title>
//	as <role> [<project>]           who asks from here on, admin at first
//	with <header>: <value>          of the next request
//	[<name> =] <verb> <path> [<body>] <status> [<type>] [<text>] [<check> …]
//
// Paths are below /v2.0. A body {…} is wrapped in the resource's name, a body
// raw … is sent as it is. $name is the id of an object that was kept under the
// name, ${name.attribute} one of its attributes, ${project:red} the id of a project,
// ${x*256} so many letters. An attribute can be a path: fixed_ips.0.ip_address, and
// fixed_ips.# is how many there are.
// The checks are of the object in the answer, or the first in a list:
// attribute=<JSON>, attribute>number, -attribute for one that is not there, and count=<n> of a list's
// objects.
func TestFacts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no facts: %v", err)
	}
	for _, file := range files {
		for _, s := range storiesIn(t, file) {
			t.Run(strings.TrimSuffix(filepath.Base(file), ".txt")+"/"+s.title, func(t *testing.T) {
				t.Parallel()
				s.tell(t)
			})
		}
	}
}

// story is one server's requests.
type story struct {
	title string
	lines []line
}

type line struct {
	at, text string
}

func storiesIn(t *testing.T, file string) []story {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []story
	scanner := bufio.NewScanner(f)
	scanner.Buffer(nil, 1<<20)
	for n := 1; scanner.Scan(); n++ {
		text := strings.TrimSpace(scanner.Text())
		title, begins := strings.CutPrefix(text, "== ")
		switch {
		case begins:
			all = append(all, story{title: title})
		case text == "" || strings.HasPrefix(text, "#"):
		case len(all) == 0:
			t.Fatalf("%s:%d: before the first story", file, n)
		default:
			last := &all[len(all)-1]
			last.lines = append(last.lines, line{fmt.Sprintf("%s:%d", file, n), text})
		}
	}
	if err := scanner.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// server is the API under test, and what a story has kept.
type server struct {
	t       *testing.T
	handler http.Handler
	kept    map[string]map[string]any
	caller  map[string]string // headers
	once    map[string]string // of the next request
}

func (s story) tell(t *testing.T) {
	srv, err := newServer(t)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range s.lines {
		if err := srv.do(l.text); err != nil {
			t.Errorf("%s: %s\n%v", l.at, l.text, err)
		}
	}
}

// project is the ID of a project as Keystone makes them.
func project(name string) string {
	sum := sha256.Sum256([]byte(name))
	return strings.ReplaceAll(string(neutrino.NewID([16]byte(sum[:16]))), "-", "")
}

func newServer(t *testing.T) (*server, error) {
	t.Helper()
	db := storetest.Open(t)
	config := intent.DefaultConfig()
	// The VLANs that stories name lie above: a drawn one never is one of them.
	config.NetworkVLANRanges = map[string][]intent.Range{"physnet1": {{Min: 100, Max: 115}}}
	config.FlatNetworks = []string{"public", "other"}
	svc := intent.New(db, config)
	register(t, svc)
	handler, err := api.New(svc, db, api.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, handler: handler, kept: map[string]map[string]any{}, once: map[string]string{}}
	return s, s.do("as admin")
}

// register makes two hosts that serve everything, as the feed does.
func register(t *testing.T, svc *intent.Service) {
	t.Helper()
	for _, host := range []string{"net1", "net2"} {
		r := neutrino.Registration{
			Host: host, TunnelTypes: []string{"gre", "vxlan", "geneve"}, Zone: neutrino.DefaultZone, HybridPlug: true, Bridge: "br-int",
			Services:       []string{neutrino.AgentOVS, neutrino.AgentDHCP, neutrino.AgentL3},
			BridgeMappings: map[string]string{"public": "br-ex", "physnet1": "br-vlan"},
		}
		if err := svc.Do(context.Background(), intent.Caller{Admin: true}, func(tx *intent.Tx) error { return intent.Register(tx, r) }); err != nil {
			t.Fatal(err)
		}
	}
}

// do does one line; the error is what is not as the line says.
func (s *server) do(text string) error {
	verb, rest, _ := strings.Cut(text, " ")
	switch verb {
	case "as":
		role, who, _ := strings.Cut(rest, " ")
		if who == "" {
			who = "operators"
		}
		s.caller = map[string]string{"X-Roles": role, "X-Project-Id": project(who)}
		return nil
	case "with":
		name, value, _ := strings.Cut(s.expand(rest), ": ")
		s.once[name] = value
		return nil
	}
	keep := ""
	if name, other, ok := strings.Cut(text, " = "); ok && !strings.ContainsAny(name, " /") {
		keep, text = name, other
	}
	return s.ask(keep, s.expand(text))
}

// expand puts in what was kept.
func (s *server) expand(text string) string {
	return os.Expand(text, func(name string) string {
		if who, ok := strings.CutPrefix(name, "project:"); ok {
			return project(who)
		}
		if letter, n, ok := strings.Cut(name, "*"); ok {
			times, _ := strconv.Atoi(n)
			return strings.Repeat(letter, times)
		}
		name, attr, _ := strings.Cut(name, ".")
		o, ok := s.kept[name]
		if !ok {
			s.t.Fatalf("nothing is kept under %q: %s", name, text)
		}
		return fmt.Sprint(at(o, cmp.Or(attr, "id")))
	})
}

// request is a line without what its answer is to be.
type request struct {
	method, path, body string
}

func (s *server) ask(keep, text string) error {
	req, rest, err := parseRequest(text)
	if err != nil {
		return err
	}
	r := httptest.NewRequest(req.method, "/v2.0"+req.path, strings.NewReader(req.body))
	for _, headers := range []map[string]string{s.caller, s.once} {
		for name, value := range headers {
			r.Header.Set(name, value)
		}
	}
	s.once = map[string]string{}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	body, _ := io.ReadAll(w.Result().Body)
	got := answer{status: w.Code, text: string(body)}
	if err := got.check(rest); err != nil {
		return fmt.Errorf("%w\nanswer: %d %s", err, got.status, got.text)
	}
	if keep != "" {
		s.kept[keep] = got.object()
	}
	return nil
}

// parseRequest reads a request; what is left says what the answer must be.
func parseRequest(text string) (req request, rest string, err error) {
	req.method, rest, _ = strings.Cut(text, " ")
	req.path, rest, _ = strings.Cut(rest, " ")
	rest, raw := strings.CutPrefix(rest, "raw ")
	if !raw && !strings.HasPrefix(rest, "{") {
		return req, rest, nil
	}
	req.body, rest, err = jsonAt(rest)
	if !raw {
		req.body = fmt.Sprintf("{%q:%s}", singular(req.path), req.body)
	}
	return req, rest, err
}

// jsonAt splits the JSON value off that a text begins with.
func jsonAt(text string) (value, rest string, err error) {
	d := json.NewDecoder(strings.NewReader(text))
	var v json.RawMessage
	if err := d.Decode(&v); err != nil {
		return "", "", fmt.Errorf("%q: %w", text, err)
	}
	return string(v), strings.TrimSpace(text[d.InputOffset():]), nil
}

// singular is the name of a collection's objects: the last collection of a path.
func singular(path string) string {
	path, _, _ = strings.Cut(path, "?")
	name := ""
	for _, part := range strings.Split(path, "/") {
		isAction := strings.HasPrefix(part, "add_") || strings.HasPrefix(part, "remove_")
		if strings.HasSuffix(part, "s") && !isAction && !strings.ContainsAny(part, "0123456789") {
			name = part
		}
	}
	if one, ok := strings.CutSuffix(name, "ies"); ok {
		name = one + "y"
	}
	return strings.ReplaceAll(strings.TrimSuffix(name, "s"), "-", "_")
}

// answer is what came.
type answer struct {
	status int
	text   string
}

// object is the one in the answer: wrapped, the first of a list, or bare.
func (a answer) object() map[string]any {
	var outer map[string]any
	_ = json.Unmarshal([]byte(a.text), &outer) // an answer without one has none
	for name, inner := range outer {
		if list, ok := inner.([]any); ok && len(list) > 0 && !bare(outer) && !strings.HasSuffix(name, "_links") {
			inner = list[0]
		}
		if o, ok := inner.(map[string]any); ok && !bare(outer) {
			return o
		}
	}
	return outer
}

// bare reports whether an answer is an object itself, and does not wrap one.
func bare(outer map[string]any) bool {
	n := len(outer)
	for name := range outer {
		if strings.HasSuffix(name, "_links") {
			n--
		}
	}
	return n > 1
}

// list is the one in the answer, beside links of pages.
func (a answer) list() []any {
	var outer map[string]any
	_ = json.Unmarshal([]byte(a.text), &outer) // an answer without one has none
	for name, inner := range outer {
		if list, ok := inner.([]any); ok && !strings.HasSuffix(name, "_links") {
			return list
		}
	}
	return nil
}

// check compares with what the rest of a line says.
func (a answer) check(rest string) error {
	status, rest, _ := strings.Cut(rest, " ")
	if status != fmt.Sprint(a.status) {
		return fmt.Errorf("status %d, want %s", a.status, status)
	}
	for rest != "" {
		var err error
		if rest, err = a.checkOne(rest); err != nil {
			return err
		}
	}
	return nil
}

func (a answer) checkOne(rest string) (string, error) {
	if rest[0] == '"' {
		quoted, left, err := jsonAt(rest)
		if err != nil {
			return "", err
		}
		var text string
		_ = json.Unmarshal([]byte(quoted), &text) // it is a string: jsonAt read it
		if message := fmt.Sprint(a.object()["message"]); !strings.Contains(message, text) {
			return "", fmt.Errorf("the message lacks %q", text)
		}
		return left, nil
	}
	word, left, _ := strings.Cut(rest, " ")
	op := strings.IndexAny(word, "=>")
	switch {
	case op > 0:
		value, left, err := jsonAt(rest[op+1:])
		if err != nil {
			return "", err
		}
		return left, a.compare(word[:op], word[op], value)
	case strings.HasPrefix(word, "-"):
		if v, has := a.object()[word[1:]]; has {
			return "", fmt.Errorf("it has %s: %v", word[1:], v)
		}
	case a.object()["type"] != word:
		return "", fmt.Errorf("type %v, want %s", a.object()["type"], word)
	}
	return left, nil
}

// at is what a path leads to, nil where it leads nowhere.
func at(v any, path string) any {
	name, rest, more := strings.Cut(path, ".")
	switch inner := v.(type) {
	case map[string]any:
		v = inner[name]
	case []any:
		i, err := strconv.Atoi(name)
		switch {
		case name == "#":
			v = float64(len(inner))
		case err == nil && i < len(inner):
			v = inner[i]
		default:
			return nil
		}
	default:
		return nil
	}
	if more {
		return at(v, rest)
	}
	return v
}

// compare holds one attribute against JSON: is it that, or a number above it.
func (a answer) compare(name string, op byte, value string) error {
	var want, got any
	if err := json.Unmarshal([]byte(value), &want); err != nil {
		return err
	}
	if got = at(a.object(), name); name == "count" {
		got = float64(len(a.list()))
	}
	if op == '>' {
		least, _ := want.(float64)
		if n, isNumber := got.(float64); !isNumber || n <= least {
			return fmt.Errorf("%s is %v, not above %s", name, got, value)
		}
		return nil
	}
	if !reflect.DeepEqual(got, want) {
		text, _ := json.Marshal(got)
		return fmt.Errorf("%s is %s, want %s", name, text, value)
	}
	return nil
}
