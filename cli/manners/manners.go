// Package manners takes the options of openstackclient that every script puts
// before its command and that have nothing to choose here: versions of the API,
// and how much to say. It stands outside the line.
package manners

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// version is the version of an API: there is one, and another is refused.
type version struct{ known []string }

// String, Set and Type make it a flag's value.
func (v version) String() string { return "" }

// Type is what stands behind the option in the help.
func (v version) Type() string { return "version" }

// Set refuses a version that is not spoken.
func (v version) Set(s string) error {
	if !slices.Contains(v.known, s) {
		return fmt.Errorf("version %q is not spoken; write %s", s, strings.Join(v.known, " or "))
	}
	return nil
}

// Options adds the options, hidden: they change nothing. An answer goes to
// standard output and an error to standard error, verbose or quiet.
func Options(f *pflag.FlagSet) {
	f.Var(version{[]string{"3", "v3", "3.0"}}, "os-identity-api-version", "version of Keystone's API")
	f.Var(version{[]string{"2", "v2", "2.0"}}, "os-network-api-version", "version of the Networking API")
	names := []string{"os-identity-api-version", "os-network-api-version", "verbose", "quiet", "verify"}
	for _, service := range []string{"compute", "image", "volume", "object", "key-manager"} {
		name := "os-" + service + "-api-version"
		f.String(name, "", "version of an API that is not asked")
		names = append(names, name)
	}
	f.CountP("verbose", "v", "say more")
	f.BoolP("quiet", "q", false, "say less")
	f.Bool("verify", true, "check the server's certificate, which is done unless --insecure forbids it")
	for _, name := range names {
		f.Lookup(name).Hidden = true
	}
}

// Arrange puts options that stand before the first word behind it: there cobra
// knows which of them take a value, and openstackclient's users write
// "--debug network list". Words without options before them are as they were.
func Arrange(words []string) []string {
	switches := []string{"--debug", "--insecure", "--verbose", "--quiet", "--verify", "--help"}
	first := 0
	for first < len(words) && len(words[first]) > 1 && words[first][0] == '-' {
		w := words[first]
		if w == "--" {
			return words
		}
		short := w[1] != '-' // -v, -vv, -q, -h
		if first++; !short && !strings.Contains(w, "=") && !slices.Contains(switches, w) {
			first++ // its value
		}
	}
	if first == 0 || first >= len(words) {
		return words
	}
	return slices.Concat(words[first:first+1], words[:first], words[first+1:])
}
