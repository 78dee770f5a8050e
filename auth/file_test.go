package auth

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// writeFile replaces a file in one step, as careful operators do.
func writeFile(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func TestAPolicyFileIsYAMLOrJSON(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy.yaml")
	for what, text := range map[string]string{
		"yaml":   "# closed\n\"create_network\": \"rule:admin_only\"\nget_network: ''\ndelete_network: \"!\"\n",
		"json":   "{\n\t\"create_network\": \"rule:admin_only\",\n\t\"get_network\": \"\",\n\t\"delete_network\": \"!\"}\n",
		"lists":  "create_network: [[\"role:nobody\"], [\"rule:admin_only\", \"@\"]]\nget_network: []\ndelete_network: [[]]\n",
		"mixed":  "create_network: [\"rule:admin_only\", [\"!\"]]\nget_network: \"@\"\ndelete_network: [[\"!\", \"@\"]]\n",
		"folded": "create_network: >\n  rule:admin_only\n  or role:nobody\nget_network: not role:nobody\ndelete_network: role:nobody\n",
	} {
		writeFile(t, path, text)
		p, err := ReadPolicy(path)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		member, admin := p.For(Identity{Roles: []string{"member"}}), p.For(Identity{Roles: []string{"admin"}})
		for rule, want := range map[string][2]bool{"create_network": {false, true}, "get_network": {true, true}, "delete_network": {false, false}} {
			if got := [2]bool{member.Allows(rule, nil), admin.Allows(rule, nil)}; got != want {
				t.Errorf("%s: %s allows member and admin: %v, want %v", what, rule, got, want)
			}
		}
	}
	for _, text := range []string{"", "# all defaults\n", "---\n", "{}", "null\n"} {
		writeFile(t, path, text)
		if _, err := ReadPolicy(path); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// An unquoted ! is an empty text to YAML, and an empty text allows everybody.
func TestAPolicyFileThatSaysSomethingElseIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy.yaml")
	for text, want := range map[string]string{
		"delete_network: !\n":                          `line 1: rule "delete_network": the check is not a text: put it in quotes`,
		"delete_network: @\n":                          "found character that cannot start any token",
		"delete_network:\n":                            "the check is not a text",
		"delete_network: true\n":                       "the check is not a text",
		"delete_network: !!str\n":                      "the check is not a text",
		"delete_network: {a: b}\n":                     "the check is not a text",
		"delete_network: [[[\"@\"]]]\n":                "single checks only",
		"delete_network: [{a: b}]\n":                   "single checks only",
		"delete_network: '@'\n\ndelete_network: '!'":   `line 3: rule "delete_network" is there twice`,
		"- delete_network\n":                           "line 1: expected a mapping",
		"delete_network\n":                             "line 1: expected a mapping",
		"? [a]\n: b\n":                                 "expected the name of a rule",
		"a: '@'\n---\nb: '@'\n":                        "more than one document",
		"a: 'b\n":                                      "yaml",
		"delete_network: role:a and or\n":              `rule "delete_network": "role:a and or", character 12: expected a check before "or"`,
		"delete_network: [['role:a', 'role:a and']]\n": "expected a check",
	} {
		writeFile(t, path, text)
		_, err := ReadPolicy(path)
		if err == nil {
			t.Errorf("%q is accepted", text)
			continue
		}
		if !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	if _, err := ReadPolicy(path + ".missing"); err == nil || !strings.Contains(err.Error(), "reading the policy: ") {
		t.Errorf("a file that does not exist: %v", err)
	}
}

// clock is a time that a test sets.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// logged is a log that a test reads.
type logged struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func TestAChangedPolicyFileIsReadAndABrokenOneIsNot(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy.yaml")
	writeFile(t, path, `create_network: "!"`+"\nmake_coffee: '@'\n")
	var log logged
	p, err := NewPolicies([]string{path}, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "make_coffee") {
		t.Errorf("the log does not warn of a rule that decides on nothing: %s", log.String())
	}
	time := newClock()
	p.file.now = time.Now
	p.file.next.Store(0)
	may := func() bool { return p.Current().For(Identity{}).Allows("create_network", nil) }
	if may() {
		t.Fatal("the file is not in force")
	}
	writeFile(t, path, `create_network: "@"`)
	if may() {
		t.Error("the file was looked at twice within a second")
	}
	time.pass(lookAgain)
	if !may() {
		t.Error("the changed file was not read")
	}
	for _, broken := range []string{"create_network: '(@'", "gone"} {
		if broken == "gone" {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		} else {
			writeFile(t, path, broken)
		}
		before := strings.Count(log.String(), "cannot be used")
		for range 3 {
			time.pass(lookAgain)
			if !may() {
				t.Errorf("%s: the earlier policy does not hold", broken)
			}
		}
		if n := strings.Count(log.String(), "cannot be used") - before; n != 1 {
			t.Errorf("%s: the log says so %d times: %s", broken, n, log.String())
		}
	}
	writeFile(t, path, `create_network: "!"`)
	time.pass(lookAgain)
	if may() {
		t.Error("the repaired file was not read")
	}
}

func TestWithoutAFileTheDefaultsHold(t *testing.T) {
	p, err := NewPolicies(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !p.Current().Has("create_network") {
		t.Error("there are no defaults")
	}
	for _, text := range []string{"", "a: '(@'\ncreate_network: rule:a"} {
		path := filepath.Join(t.TempDir(), "policy.yaml")
		if text != "" {
			writeFile(t, path, text)
		}
		if _, err := NewPolicies([]string{path}, nil); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("a policy file that cannot be used is accepted at start: %v", err)
		}
	}
}

func TestADirectoryOfPolicyFilesIsReadInOrder(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "policy.yaml")
	rules := filepath.Join(dir, "policy.d")
	if err := os.Mkdir(rules, 0o755); err != nil {
		t.Fatal(err)
	}
	writeFile(t, file, `create_network: "!"`+"\n"+`create_port: "!"`)
	writeFile(t, filepath.Join(rules, "10-open.yaml"), `create_network: "@"`)
	writeFile(t, filepath.Join(rules, "README"), "create_port: (@")
	p, err := NewPolicies([]string{file, rules}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	time := newClock()
	p.file.now = time.Now
	p.file.next.Store(0)
	may := func(rule string) bool { return p.Current().For(Identity{}).Allows(rule, nil) }
	if !may("create_network") || may("create_port") {
		t.Error("a file of the directory does not come after the file")
	}
	writeFile(t, filepath.Join(rules, "20-shut.json"), `{"create_network": "!"}`)
	time.pass(lookAgain)
	if may("create_network") {
		t.Error("a file that came was not read")
	}
	writeFile(t, filepath.Join(rules, "20-shut.json"), "{}")
	time.pass(lookAgain)
	if !may("create_network") {
		t.Error("rules that a file has no more are still in force")
	}
	if err := os.Remove(filepath.Join(rules, "20-shut.json")); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(rules, "10-open.yaml"), `create_network: "!"`)
	time.pass(lookAgain)
	if may("create_network") {
		t.Error("a file without rules cannot go")
	}
}

// Requests go on while one of them reads the file.
func TestManyRequestsReadOnePolicy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy.yaml")
	writeFile(t, path, "{}")
	p, err := NewPolicies([]string{path}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	time := newClock()
	p.file.now = time.Now
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 50 {
				if i == 0 {
					time.pass(lookAgain)
				}
				if !p.Current().Has("create_network") {
					t.Error("no policy")
				}
			}
		})
	}
	wg.Wait()
}

// Whoever removes all the # of rules has the defaults.
func TestTheSampleIsThePolicy(t *testing.T) {
	sample := PolicySample()
	for _, want := range []string{"# PUT /routers/{id}/add_router_interface\n", "#\"create_network:shared\": \"rule:admin_only\"\n"} {
		if !strings.Contains(sample, want) {
			t.Errorf("the sample lacks %q", want)
		}
	}
	overrides, err := parsePolicy([]byte(sample))
	if err != nil || len(overrides) != 0 {
		t.Fatalf("the sample as it is changes %v, %v", overrides, err)
	}
	overrides, err = parsePolicy([]byte(strings.ReplaceAll(sample, "\n#\"", "\n\"")))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range Defaults() {
		if got, ok := overrides[r.Name]; !ok || got != r.Check {
			t.Errorf("rule %s is %q in the sample, and %q by default", r.Name, got, r.Check)
		}
		delete(overrides, r.Name)
	}
	if len(overrides) > 0 {
		t.Errorf("the sample has rules that do not exist: %v", overrides)
	}
	if p, err := NewPolicy(overrides); err != nil || len(p.Warnings()) > 0 {
		t.Errorf("the sample gives %v, %v", p.Warnings(), err)
	}
	if slices.ContainsFunc(strings.Split(sample, "\n"), func(l string) bool { return len(l) > 300 }) {
		t.Error("a line of the sample is longer than 300 characters")
	}
}
