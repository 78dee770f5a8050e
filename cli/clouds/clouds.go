// Package clouds reads clouds.yaml and secure.yaml, in which the clients of
// OpenStack keep who is calling and where. It stands outside the line.
package clouds

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// Files are where clouds are looked for.
type Files struct {
	Dirs []string // that may hold clouds.yaml and secure.yaml, best first
	// Clouds and Secure are files to read instead; empty looks into Dirs.
	Clouds, Secure string
}

// Cloud is one cloud of the first clouds.yaml that there is, with what
// secure.yaml adds, as one flat map with the names of openstackclient's options,
// with underscores; nil where name is empty. An error names the file, and the
// clouds that it has.
func (f Files) Cloud(name string) (map[string]string, error) {
	if name == "" {
		return nil, nil
	}
	file, found, err := f.open("clouds.yaml", f.Clouds)
	if err != nil {
		return nil, err
	}
	if found == nil {
		return nil, fmt.Errorf("cloud %s is asked for, but there is no clouds.yaml in %s", name, strings.Join(f.Dirs, ", "))
	}
	secret, more, err := f.open("secure.yaml", f.Secure)
	if err != nil {
		return nil, err
	}
	clouds, err := cloudsOf(file, found)
	if err != nil {
		return nil, err
	}
	secrets, err := cloudsOf(secret, more)
	if err != nil {
		return nil, err
	}
	if clouds[name] == nil {
		return nil, fmt.Errorf("%s has no cloud %s; it has %s", file, name,
			strings.Join(slices.Sorted(maps.Keys(clouds)), ", "))
	}
	flat := map[string]string{}
	flatten(clouds[name], flat)
	flatten(secrets[name], flat)
	return flat, nil
}

// open reads the named file, or else the first of that name in the directories.
func (f Files) open(name, override string) (string, []byte, error) {
	var paths []string
	for _, dir := range f.Dirs {
		paths = append(paths, filepath.Join(dir, name), filepath.Join(dir, strings.TrimSuffix(name, "yaml")+"yml"))
	}
	if override != "" {
		paths = []string{override}
	}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err == nil {
			return path, b, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", nil, fmt.Errorf("read %s: %w", path, err)
		}
	}
	return "", nil, nil
}

func cloudsOf(file string, content []byte) (map[string]map[string]any, error) {
	var doc struct {
		Clouds map[string]map[string]any
	}
	if err := yaml.Unmarshal(content, &doc); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return doc.Clouds, nil
}

// flatten takes the keys of a cloud and of its auth section, which do not
// overlap, under the names of the options.
func flatten(cloud map[string]any, into map[string]string) {
	rename := map[string]string{"network_endpoint_override": "endpoint", "endpoint_override": "endpoint",
		"tenant_name": "project_name", "tenant_id": "project_id", "endpoint_type": "interface"}
	for key, value := range cloud {
		switch value := value.(type) {
		case map[string]any:
			if key == "auth" {
				flatten(value, into)
			}
		case nil, []any:
		default:
			into[cmp.Or(rename[key], key)] = fmt.Sprint(value)
		}
	}
}
