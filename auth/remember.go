package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"neutrino/wholefile"
)

// override is one rule as the files gave it: the check in force, and the file that
// said it.
type override struct {
	File  string `json:"file"`
	Check string `json:"check"`
}

// reading is what policy files say.
type reading struct {
	files []string
	rules map[string]override // by the rule's name; a later file wins
	// silent are files that say nothing: empty, or only blanks and comments. An
	// empty mapping, {}, says that there are no rules.
	silent map[string]bool
}

// readFiles reads policy files and directories of them.
func readFiles(paths []string) (*reading, error) {
	files, err := policyFiles(paths)
	if err != nil {
		return nil, fmt.Errorf("reading the policy: %w", err)
	}
	r := &reading{files: files, rules: map[string]override{}, silent: map[string]bool{}}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("reading the policy: %w", err)
		}
		said, err := parsePolicy(text)
		if err != nil {
			return nil, fmt.Errorf("policy file %s: %w", file, err)
		}
		if said == nil {
			r.silent[file] = true
		}
		for name, check := range said {
			r.rules[name] = override{file, check}
		}
	}
	return r, nil
}

// policy is the defaults with what the files say.
func (r *reading) policy() (*Policy, error) {
	checks := map[string]string{}
	for name, o := range r.rules {
		checks[name] = o.Check
	}
	p, err := NewPolicy(checks)
	if err != nil {
		return nil, fmt.Errorf("policy file %s: %w", strings.Join(r.files, ", "), err)
	}
	return p, nil
}

// keeps refuses a reading that loses rules because their file is missing or says
// nothing: an editor that failed, a disk that was full and a mount that did not
// come all look like that, and what a lost rule forbade would be allowed. A rule
// that another file now gives the same check is not lost. before is the reading
// that was in force.
func (r *reading) keeps(before map[string]override) error {
	lost := map[string][]string{} // rules by file
	for name, o := range before {
		if slices.Contains(r.files, o.File) && !r.silent[o.File] {
			continue // it was edited
		}
		if now, ok := r.rules[name]; !ok || now.Check != o.Check {
			lost[o.File] = append(lost[o.File], name)
		}
	}
	var all []error
	for _, file := range slices.Sorted(maps.Keys(lost)) {
		what := "is missing"
		if r.silent[file] {
			what = "says nothing any more"
		}
		rules := slices.Sorted(slices.Values(lost[file]))
		if more := len(rules) - 5; more > 0 {
			rules = append(rules[:5], fmt.Sprintf("and %d more", more))
		}
		all = append(all, fmt.Errorf("policy file %s %s, and it had rules (%s): put it back, or write {} into it if they are to go",
			file, what, strings.Join(rules, ", ")))
	}
	if all == nil {
		return nil
	}
	return &lostError{errors.Join(all...)}
}

// lostError is a reading without rules that were there before.
type lostError struct{ error }

// recall reads the rules that were in force when the server last read its policy.
// No file is no rules.
func recall(memory string) (map[string]override, error) {
	text, err := os.ReadFile(memory)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the policy of before: %w", err)
	}
	var rules map[string]override
	if err := json.Unmarshal(text, &rules); err != nil {
		return nil, fmt.Errorf("reading the policy of before: %s is damaged (%w): compare the policy files with a backup, then remove it", memory, err)
	}
	return rules, nil
}

// memorize writes the rules that are in force, in one step.
func memorize(memory string, rules map[string]override) error {
	text, err := json.MarshalIndent(rules, "", " ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(memory), 0o700); err != nil {
		return fmt.Errorf("remembering the policy: %w", err)
	}
	// Files are read again when they change, for no request in particular.
	if err := wholefile.Replace(context.Background(), memory, append(text, '\n')); err != nil {
		return fmt.Errorf("remembering the policy: %w", err)
	}
	return nil
}
