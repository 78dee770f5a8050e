package manners

import (
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func TestWhatEveryScriptSaysIsTakenAndAnotherVersionIsNot(t *testing.T) {
	parse := func(line string) error {
		f := pflag.NewFlagSet("x", pflag.ContinueOnError)
		Options(f)
		return f.Parse(strings.Fields(line))
	}
	for _, line := range []string{"--os-identity-api-version 3", "--os-network-api-version=2 -v", "-vv -q", "--os-compute-api-version 2.90 --verify"} {
		if err := parse(line); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
	err := parse("--os-identity-api-version 2.0")
	if err == nil || !strings.Contains(err.Error(), `version "2.0" is not spoken; write 3`) {
		t.Errorf("%v", err)
	}
}

func TestOptionsMayStandBeforeTheCommand(t *testing.T) {
	for line, want := range map[string]string{
		"network list --debug":                     "network list --debug",
		"--debug network list":                     "network --debug list",
		"-v --os-cloud lab --insecure port show a": "port -v --os-cloud lab --insecure show a",
		"--os-cloud=lab -q network list -f json":   "network --os-cloud=lab -q list -f json",
		"--help":                                   "--help",
		"--help network":                           "network --help",
		"--os-cloud":                               "--os-cloud",
		"lab exec compute1 -- ip -br address":      "lab exec compute1 -- ip -br address",
		"-- network list":                          "-- network list",
		"":                                         "",
	} {
		if got := strings.Join(Arrange(strings.Fields(line)), " "); got != want {
			t.Errorf("%s became %s, want %s", line, got, want)
		}
	}
}
