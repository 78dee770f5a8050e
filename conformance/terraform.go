package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
)

// providerTests are the acceptance tests of Terraform's OpenStack provider that
// are about networks: they create, change, import and destroy every kind of
// object with the real Terraform, which after each step must find nothing to do.
const providerTests = `^TestAcc(OpenStack)?Networking`

// needsExtension says which of them are about what an extension adds. A test
// whose extension the server does not say it has is not run.
var needsExtension = []struct{ tests, alias string }{
	{"QoS|_qos_|extQoSPolicy", "qos"},
	{"Trunk", "trunk"},
	{"BGP", "bgp"},
	{"Segment[VD]|Segment_|_importSegments", "segment"},
	{"_transparent_vlan", "vlan-transparent"},
	{"_multipleSegmentMappings", "multi-provider"},
	{"AddressGroup|_addressgroup", "address-group"},
	{"TestAccNetworkingV2_tags", "trunk"}, // tags one of each kind, a trunk among them
}

// terraform runs the provider's acceptance tests, as an administrator and, for
// those that say so, as a user without that role.
func (s *stack) terraform(ctx context.Context) ([]result, error) {
	aliases, err := s.extensions(ctx)
	if err != nil {
		return nil, err
	}
	tests, err := s.listProviderTests(ctx)
	if err != nil {
		return nil, err
	}
	var results []result
	var run []string
	for _, name := range tests {
		if alias := lacks(name, aliases); alias != "" {
			results = append(results, result{Name: name, Status: skipped, Reason: "the server does not have the extension " + alias})
			continue
		}
		run = append(run, name)
	}
	s.say("terraform: %d tests", len(run))
	asAdmin, err := s.providerRun(ctx, adminUser, run)
	if err != nil {
		return nil, err
	}
	// What only a user without the role may try skips for the administrator.
	var others []string
	for _, r := range asAdmin {
		if r.Status == skipped && strings.Contains(r.Reason, "requires the demo") {
			others = append(others, r.Name)
			continue
		}
		results = append(results, r)
	}
	if len(others) == 0 {
		return results, nil
	}
	asDemo, err := s.providerRun(ctx, demoUser, others)
	return append(results, asDemo...), err
}

// lacks is the alias that a test needs and the server does not have, or "".
func lacks(test string, aliases []string) string {
	for _, n := range needsExtension {
		if regexp.MustCompile(n.tests).MatchString(test) && !slices.Contains(aliases, n.alias) {
			return n.alias
		}
	}
	return ""
}

func (s *stack) listProviderTests(ctx context.Context) ([]string, error) {
	out, err := exec.CommandContext(ctx, s.provider, "-test.list", providerTests).Output()
	if err != nil {
		return nil, fmt.Errorf("%s: run make conformance, which builds it: %w", s.provider, err)
	}
	tests := strings.Fields(string(out))
	wanted, err := regexp.Compile(s.regex)
	if err != nil {
		return nil, fmt.Errorf("-regex: %w", err)
	}
	tests = slices.DeleteFunc(tests, func(t string) bool { return !wanted.MatchString(t) })
	if len(tests) == 0 {
		return nil, fmt.Errorf("-regex %s: no test of the provider matches", s.regex)
	}
	return tests, nil
}

// providerRun runs some of the tests as a user.
func (s *stack) providerRun(ctx context.Context, user string, tests []string) ([]result, error) {
	config := s.path("terraform.rc") // else the operator's own counts
	if err := os.WriteFile(config, nil, 0o600); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, s.provider, "-test.v", "-test.timeout", "30m", "-test.run", "^("+strings.Join(tests, "|")+")$")
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), s.keystone.env(user)...)
	cmd.Env = append(cmd.Env,
		"TF_ACC=1", "TF_ACC_TERRAFORM_PATH="+s.terraformPath, "TF_CLI_CONFIG_FILE="+config, "CHECKPOINT_DISABLE=1", "TMPDIR="+s.dir,
		"OS_POOL_NAME="+publicNetwork, "OS_EXTGW_ID="+s.public, "OS_NETWORK_ID="+s.public, "OS_PORT_FORWARDING_ENVIRONMENT=1",
		// Asked for by every test, used by those of compute alone.
		"OS_IMAGE_NAME=none", "OS_FLAVOR_NAME=none")
	log, err := os.Create(s.path("log", "terraform-"+user+".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd.Stderr = log
	return s.runGoTests(ctx, cmd, partTerraform)
}
