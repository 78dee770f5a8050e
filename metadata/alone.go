package metadata

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
)

// file is one answer: its content type and its bytes.
type file struct {
	kind string
	body []byte
}

// The content types of answers.
const (
	kindText = "text/plain; charset=utf-8"
	kindJSON = "application/json"
	kindData = "application/octet-stream"
)

func text(s string) file { return file{kindText, []byte(s)} }

func object(v any) file {
	b, err := json.Marshal(v)
	if err != nil {
		return text("") // what is marshalled here has no form that fails
	}
	return file{kindJSON, b}
}

// tree holds the answers below one version by their path: "meta-data/instance-id".
// A path that ends with a slash is a directory whose list is its own.
type tree map[string]file

// alone answers without Nova, from what the view says.
type alone struct{ tokens *tokens }

func (a alone) answer(w http.ResponseWriter, r *http.Request, i Instance) {
	shown := r.Header.Values(headerToken)
	switch {
	case r.Method == http.MethodPut && r.URL.Path == tokenPath:
		a.tokens.give(w, r, i)
		return
	case r.URL.Path == tokenPath || r.Method != http.MethodGet && r.Method != http.MethodHead:
		refuse(w, http.StatusMethodNotAllowed)
		return
	case len(shown) > 0 && !a.tokens.valid(shown[0], i):
		refuse(w, http.StatusUnauthorized)
		return
	}
	f, ok := find(i, r.URL.Path)
	if !ok {
		refuse(w, http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", f.kind)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	// A caller that went away needs no answer.
	_, _ = w.Write(f.body)
}

// find is the answer at a path. Empty steps of a path count for nothing.
func find(i Instance, path string) (file, bool) {
	steps := slices.DeleteFunc(strings.Split(path, "/"), func(s string) bool { return s == "" })
	if len(steps) == 0 {
		return text(strings.Join(ec2Versions[:], "\n")), true
	}
	if steps[0] == "openstack" {
		if len(steps) == 1 {
			return text(strings.Join(openstackVersions[:], "\n")), true
		}
		if !slices.Contains(openstackVersions[:], steps[1]) {
			return file{}, false
		}
		return openstackTree(i, steps[1]).at(steps[2:])
	}
	if !slices.Contains(ec2Versions[:], steps[0]) {
		return file{}, false
	}
	return ec2Tree(i).at(steps[1:])
}

// at is the file at a path, or the list of what is below it: directories end
// with a slash.
func (t tree) at(steps []string) (file, bool) {
	path := strings.Join(steps, "/")
	prefix := path + "/"
	if path == "" {
		prefix = ""
	}
	for _, p := range [...]string{path, prefix} {
		if f, ok := t[p]; ok {
			return f, true
		}
	}
	var names []string
	for p := range t {
		rest, below := strings.CutPrefix(p, prefix)
		if !below || rest == "" {
			continue
		}
		name, _, deeper := strings.Cut(rest, "/")
		if deeper {
			name += "/"
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		return file{}, false
	}
	slices.Sort(names)
	return text(strings.Join(slices.Compact(names), "\n")), true
}
