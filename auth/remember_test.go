package auth

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// kept is a policy of files with a memory, and a time that a test sets.
type kept struct {
	*Policies
	t     *testing.T
	clock *clock
	log   *logged
}

func keep(t *testing.T, memory string, paths ...string) (kept, error) {
	t.Helper()
	k := kept{t: t, clock: newClock(), log: &logged{}}
	p, err := KeepPolicies(paths, memory, slog.New(slog.NewTextHandler(k.log, nil)))
	if err != nil {
		return k, err
	}
	k.Policies = p
	p.file.now = k.clock.Now
	p.file.next.Store(0)
	return k, nil
}

// forbids reports whether nobody may do what the rule is about, a second later.
func (k kept) forbids(rule string) bool {
	k.t.Helper()
	k.clock.pass(lookAgain)
	return !k.Current().For(Identity{Roles: Implied([]string{"admin"})}).Allows(rule, nil)
}

// A disk that is full, an editor that failed and a mount that did not come leave a
// policy file that says nothing. What it forbade stays forbidden.
func TestEmptiedPolicyFileKeepsTheOneBefore(t *testing.T) {
	dir := t.TempDir()
	path, single := filepath.Join(dir, "policy.yaml"), filepath.Join(dir, "policy.d")
	inner := filepath.Join(single, "10.yaml")
	if err := os.Mkdir(single, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{path, inner} {
		for what, ruin := range map[string]func() error{
			"0 bytes":       func() error { return os.Truncate(file, 0) },
			"blanks":        func() error { return os.WriteFile(file, []byte("\n  \n"), 0o600) },
			"comments only": func() error { return os.WriteFile(file, []byte("# create_network: '!'\n"), 0o600) },
			"null":          func() error { return os.WriteFile(file, []byte("---\nnull\n"), 0o600) },
			"removed":       func() error { return os.Remove(file) },
		} {
			writeFile(t, path, "{}")
			writeFile(t, inner, "{}")
			writeFile(t, file, `create_network: "!"`)
			p, err := keep(t, "", path, single)
			if err != nil {
				t.Fatal(err)
			}
			if !p.forbids("create_network") || p.Problem() != "" {
				t.Fatalf("the policy is not in force, %q", p.Problem())
			}
			if err := ruin(); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				if !p.forbids("create_network") {
					t.Errorf("%s, %s: what it forbade is allowed", file, what)
				}
			}
			if n := strings.Count(p.log.String(), "the earlier policy holds"); n != 1 || !strings.Contains(p.Problem(), file) {
				t.Errorf("%s, %s: %d lines in the log, and the problem %q", file, what, n, p.Problem())
			}
			writeFile(t, file, "{}")
			if p.forbids("create_network") || p.Problem() != "" {
				t.Errorf("%s, %s: {} does not bring the defaults back: %s", file, what, p.Problem())
			}
		}
	}
}

// What was forbidden when the server ended is forbidden when it starts, or it does
// not start.
func TestStartRefusesAPolicyThatWasLost(t *testing.T) {
	dir := t.TempDir()
	path, other, memory := filepath.Join(dir, "policy.yaml"), filepath.Join(dir, "other.yaml"), filepath.Join(dir, "state", "policy.json")
	writeFile(t, path, "# all defaults, as a package installs it\n")
	if _, err := keep(t, memory, path); err != nil {
		t.Fatalf("a file without rules that never had any: %v", err)
	}
	writeFile(t, path, `create_network: "!"`)
	if _, err := keep(t, memory, path); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(memory); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the memory is %v, %v", info, err)
	}
	refused := func(what string, paths ...string) {
		t.Helper()
		_, err := keep(t, memory, paths...)
		if err == nil {
			t.Errorf("%s: the server starts", what)
			return
		}
		for _, want := range []string{path, "create_network", "{}", memory} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q does not name %s", what, err, want)
			}
		}
	}
	writeFile(t, path, "")
	refused("emptied", path)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	refused("gone, and so not in the list") // as the server leaves out what does not exist
	writeFile(t, other, `create_port: "!"`)
	refused("another file instead", other)
	writeFile(t, other, `create_network: "!"`)
	if _, err := keep(t, memory, other); err != nil {
		t.Errorf("the rules have moved to another file: %v", err)
	}
	writeFile(t, other, "{}")
	if _, err := keep(t, memory, other); err != nil {
		t.Errorf("the rules go on purpose: %v", err)
	}
	if _, err := keep(t, memory); err != nil {
		t.Errorf("a file without rules goes: %v", err)
	}
}

func TestRulesThatWereEditedAwayAreGone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy.yaml")
	writeFile(t, path, "create_network: '!'\ncreate_port: '!'\n")
	p, err := keep(t, "", path)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, path, "create_port: '!'\n")
	if p.forbids("create_network") || !p.forbids("create_port") {
		t.Error("an edited file is not in force")
	}
}

func TestDamagedMemoryOfThePolicyIsRefused(t *testing.T) {
	memory := filepath.Join(t.TempDir(), "policy.json")
	writeFile(t, memory, `{"create_net`)
	if _, err := keep(t, memory); err == nil || !strings.Contains(err.Error(), memory) {
		t.Errorf("a damaged memory is accepted: %v", err)
	}
}
