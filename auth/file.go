package auth

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"gopkg.in/yaml.v3"
)

// ReadPolicy is [NewPolicy] with the overrides of policy files: each a mapping, in
// YAML or JSON, of names of rules to checks. A check may also be a list of lists
// of checks, oslo.policy's earlier form: the outer list is "or", the inner "and".
// A path may be a directory, whose files of these formats are read in the order of
// their names; what a later file says of a rule wins. The error names the file, and
// line, rule or place.
func ReadPolicy(paths ...string) (*Policy, error) {
	r, err := readFiles(paths)
	if err != nil {
		return nil, err
	}
	return r.policy()
}

// policyFiles are the files that paths lead to.
func policyFiles(paths []string) ([]string, error) {
	var files []string
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			files = append(files, path)
			continue
		}
		entries, err := os.ReadDir(path) // sorted by name
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(e.Name())) && !e.IsDir() {
				files = append(files, filepath.Join(path, e.Name()))
			}
		}
	}
	return files, nil
}

// parsePolicy reads one file. A file that says nothing, because it is empty or has
// only comments, gives nil; one that says that there are no rules gives none.
func parsePolicy(text []byte) (map[string]string, error) {
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var doc, more yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, nil // only comments
	} else if err != nil {
		return nil, err
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more than one document: keep one")
	}
	root := doc.Content[0]
	if root.Kind == yaml.ScalarNode && root.Tag == "!!null" {
		return nil, nil
	}
	if root.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("line %d: expected a mapping of rules to checks", root.Line)
	}
	out := map[string]string{}
	for i := 0; i < len(root.Content); i += 2 {
		name, value := root.Content[i], root.Content[i+1]
		if name.Kind != yaml.ScalarNode || name.Value == "" {
			return nil, fmt.Errorf("line %d: expected the name of a rule", name.Line)
		}
		if _, twice := out[name.Value]; twice {
			return nil, fmt.Errorf("line %d: rule %q is there twice: keep one", name.Line, name.Value)
		}
		check, err := checkOf(value)
		if err != nil {
			return nil, fmt.Errorf("line %d: rule %q: %w", value.Line, name.Value, err)
		}
		out[name.Value] = check
	}
	return out, nil
}

// checkOf is a check as the file gives it. What is neither a text nor a list is
// refused: YAML reads an unquoted ! as an empty text, which would allow all.
func checkOf(n *yaml.Node) (string, error) {
	if isText(n) {
		return n.Value, nil
	}
	if n.Kind != yaml.SequenceNode {
		return "", errors.New(`the check is not a text: put it in quotes ("" allows everybody, "!" nobody)`)
	}
	if len(n.Content) == 0 {
		return "@", nil
	}
	var either []string
	for _, inner := range n.Content {
		var all []string
		switch {
		case isText(inner):
			all = []string{inner.Value}
		case inner.Kind == yaml.SequenceNode:
			for _, one := range inner.Content {
				if !isText(one) {
					return "", errors.New("a list of lists holds single checks only")
				}
				all = append(all, one.Value)
			}
		default:
			return "", errors.New("a list of lists holds single checks only")
		}
		if len(all) > 0 {
			either = append(either, "("+strings.Join(all, " and ")+")")
		}
	}
	if len(either) == 0 {
		return "!", nil
	}
	return strings.Join(either, " or "), nil
}

func isText(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Tag == "!!str" && (n.Value != "" || n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0)
}

// lookAgain is how often a file is looked at for a change.
const lookAgain = time.Second

// Policies is the policy in force: that of files, read again when they change.
type Policies struct {
	file    watched
	current atomic.Pointer[Policy]
	log     *slog.Logger

	// memory is a file that keeps what the policy files said, so that a start finds
	// out that they lost it; "" is none.
	memory string
	before map[string]override // what the policy in force was made of
}

// NewPolicies reads policy files and directories of them, as [ReadPolicy] does; none
// are the defaults. It writes the warnings to the log; a nil log is slog.Default().
func NewPolicies(paths []string, log *slog.Logger) (*Policies, error) {
	return KeepPolicies(paths, "", log)
}

// KeepPolicies is [NewPolicies] with a file that remembers what the policy files
// said. A file that had rules and is now missing or says nothing is then refused at
// the start as it is while the server runs: see [Policies.Current]. An empty memory
// remembers nothing beyond the process.
func KeepPolicies(paths []string, memory string, log *slog.Logger) (*Policies, error) {
	if log == nil {
		log = slog.Default()
	}
	p := &Policies{log: log, memory: memory, file: watched{paths: paths, now: time.Now}}
	if memory != "" {
		var err error
		if p.before, err = recall(memory); err != nil {
			return nil, err
		}
	}
	if err := p.file.first(p.load); err != nil {
		var lost *lostError
		if errors.As(err, &lost) {
			err = fmt.Errorf("%w; if the server is meant to read other files than before, remove %s", err, memory)
		}
		return nil, err
	}
	return p, nil
}

func (p *Policies) load() error {
	read, err := readFiles(p.file.paths)
	if err != nil {
		return err
	}
	if err := read.keeps(p.before); err != nil {
		return err
	}
	policy, err := read.policy()
	if err != nil {
		return err
	}
	for _, w := range policy.Warnings() {
		p.log.Warn("policy", "files", p.file.paths, "warning", w)
	}
	if p.memory != "" && !maps.Equal(read.rules, p.before) {
		if err := memorize(p.memory, read.rules); err != nil {
			return err
		}
	}
	p.before = read.rules
	p.current.Store(policy)
	return nil
}

// Current is the policy for a new request. It looks at the files at most once a
// second. While one is broken or missing, or says nothing although it had rules,
// the last good policy holds; the log says once why, and [Policies.Problem] as long
// as it is so. An empty mapping, {}, is how a file says that its rules go.
func (p *Policies) Current() *Policy {
	if err := p.file.again(p.load); err != nil {
		p.log.Error("the policy file cannot be used; the earlier policy holds", "error", err)
	}
	return p.current.Load()
}

// Problem is why the files cannot be used and an earlier policy holds, "" when
// they are in force.
func (p *Policies) Problem() string {
	p.Current()
	p.file.mu.Lock()
	defer p.file.mu.Unlock()
	return p.file.failed
}

// watched is files, and directories of them, that are read again when one of them
// is another one: replaced, or written to.
type watched struct {
	paths []string
	now   func() time.Time

	next   atomic.Int64 // when to look again, in Unix nanoseconds
	mu     sync.Mutex
	seen   string // the files as they were read; "" while one is missing
	failed string // what is already known to be wrong
}

// first reads the files for the first time.
func (w *watched) first(load func() error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.next.Store(w.now().Add(lookAgain).UnixNano())
	w.seen, _ = stampOf(w.paths) // load says what is wrong
	return load()
}

// again reads the files when one has changed since. One caller does it and the
// others go on. The error is one that was not returned before.
func (w *watched) again(load func() error) error {
	if len(w.paths) == 0 || w.now().UnixNano() < w.next.Load() || !w.mu.TryLock() {
		return nil
	}
	defer w.mu.Unlock()
	w.next.Store(w.now().Add(lookAgain).UnixNano())
	stamp, err := stampOf(w.paths)
	if err == nil && stamp == w.seen {
		return nil
	}
	if err == nil {
		err = load()
	}
	if err == nil {
		// The state from before reading: what is written in between is seen later.
		w.seen, w.failed = stamp, ""
		return nil
	}
	w.seen = ""
	if w.failed == err.Error() {
		return nil
	}
	w.failed = err.Error()
	return err
}

// stampOf is a text that is another one when one of the files is.
func stampOf(paths []string) (string, error) {
	files, err := policyFiles(paths)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			return "", err
		}
		inode := uint64(0)
		if s, ok := info.Sys().(*syscall.Stat_t); ok {
			inode = s.Ino
		}
		fmt.Fprintf(&b, "%s %d %d %d\n", file, inode, info.Size(), info.ModTime().UnixNano())
	}
	return b.String() + "read", nil
}

// PolicySample is a policy.yaml that holds every rule with its default, its
// meaning and its requests, all of it commented out.
func PolicySample() string {
	var b strings.Builder
	b.WriteString(`# neutrino's policy: who may do what, in oslo.policy's language.
# Each rule stands with its default; remove the # before a rule to change it.
# A change is read while the server runs. "" allows everybody, "!" nobody.
# A file that had rules and is emptied or removed changes nothing: write {} into it
# to go back to the defaults.
`)
	for _, r := range Defaults() {
		fmt.Fprintf(&b, "\n# %s\n", r.About)
		for _, o := range r.Operations {
			fmt.Fprintf(&b, "# %s\n", o)
		}
		fmt.Fprintf(&b, "#%q: %q\n", r.Name, r.Check)
	}
	return b.String()
}
