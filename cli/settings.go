package cli

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"neutrino/cli/clouds"
)

// source is where settings come from. Tests have their own.
type source struct {
	env  func(string) string
	dirs []string // in which clouds.yaml is looked for, best first
}

// system is the source of a real command: the environment, and the directories
// in which openstackclient looks.
func system() source {
	dirs := []string{"."}
	if config := os.Getenv("XDG_CONFIG_HOME"); config != "" {
		dirs = append(dirs, filepath.Join(config, "openstack"))
	} else if home, err := os.UserHomeDir(); err == nil {
		dirs = append(dirs, filepath.Join(home, ".config", "openstack"))
	}
	return source{env: os.Getenv, dirs: append(dirs, "/etc/openstack")}
}

// setting is one thing that an option --os-NAME, a variable OS_NAME or a key of
// clouds.yaml says.
type setting struct {
	name  string // of the option, without --os-
	help  string
	also  []string // other variables
	key   string   // in clouds.yaml, where it is not the name with underscores
	field func(*auth) *string
}

// settings is everything that there is to say about who is calling.
func settings() []setting {
	return []setting{
		{"endpoint", "URL of the Networking API, with or without /v2.0", []string{"OS_URL", "OS_ENDPOINT_OVERRIDE"}, "endpoint", func(a *auth) *string { return &a.endpoint }},
		{"auth-type", "none, http_basic, password, token or application_credential", nil, "", func(a *auth) *string { return (*string)(&a.kind) }},
		{"auth-url", "URL of Keystone", nil, "", func(a *auth) *string { return &a.authURL }},
		{"username", "user's name", nil, "", func(a *auth) *string { return &a.username }},
		{"user-id", "user's id", nil, "", func(a *auth) *string { return &a.userID }},
		{"password", "user's password", nil, "", func(a *auth) *string { return &a.password }},
		{"user-domain-name", "domain of the user, by name", []string{"OS_DEFAULT_DOMAIN_NAME"}, "", func(a *auth) *string { return &a.userDomain }},
		{"user-domain-id", "domain of the user, by id", []string{"OS_DEFAULT_DOMAIN_ID", "OS_DEFAULT_DOMAIN"}, "", func(a *auth) *string { return &a.userDomainID }},
		{"token", "token of Keystone", nil, "", func(a *auth) *string { return &a.token }},
		{"application-credential-id", "application credential by id", nil, "", func(a *auth) *string { return &a.applicationID }},
		{"application-credential-name", "application credential by name, with its user", nil, "", func(a *auth) *string { return &a.application }},
		{"application-credential-secret", "secret of the application credential", nil, "", func(a *auth) *string { return &a.secret }},
		{"project-name", "project by name", []string{"OS_TENANT_NAME"}, "", func(a *auth) *string { return &a.project }},
		{"project-id", "project by id", []string{"OS_TENANT_ID"}, "", func(a *auth) *string { return &a.projectID }},
		{"project-domain-name", "domain of the project, by name", []string{"OS_DEFAULT_DOMAIN_NAME"}, "", func(a *auth) *string { return &a.projectDomain }},
		{"project-domain-id", "domain of the project, by id", []string{"OS_DEFAULT_DOMAIN_ID", "OS_DEFAULT_DOMAIN"}, "", func(a *auth) *string { return &a.projectDomainID }},
		{"system-scope", "\"all\" for the whole system instead of a project", nil, "", func(a *auth) *string { return &a.system }},
		{"region-name", "region of the catalogue", nil, "", func(a *auth) *string { return &a.region }},
		{"interface", "public, internal or admin endpoint of the catalogue", []string{"OS_ENDPOINT_TYPE"}, "", func(a *auth) *string { return &a.iface }},
		{"cacert", "file with the certificates to trust", nil, "", func(a *auth) *string { return &a.caFile }},
		{"cert", "file with the client's certificate", nil, "", func(a *auth) *string { return &a.certFile }},
		{"key", "file with the key of the client's certificate", nil, "", func(a *auth) *string { return &a.keyFile }},
	}
}

// resolve puts together what the options (by name), the environment and
// clouds.yaml say; the first that says something wins. With a cloud's name, the
// environment does not: it would be half of another cloud.
func (s source) resolve(options map[string]string) (auth, error) {
	var a auth
	files := clouds.Files{Dirs: s.dirs, Clouds: s.env("OS_CLIENT_CONFIG_FILE"), Secure: s.env("OS_CLIENT_SECURE_FILE")}
	cloud, err := files.Cloud(cmp.Or(options["cloud"], s.env("OS_CLOUD")))
	if err != nil {
		return a, err
	}
	for _, set := range settings() {
		key := cmp.Or(set.key, strings.ReplaceAll(set.name, "-", "_"))
		value := cmp.Or(options[set.name], cloud[key])
		if cloud == nil {
			variables := append([]string{"OS_" + strings.ToUpper(strings.ReplaceAll(set.name, "-", "_"))}, set.also...)
			for _, v := range variables {
				value = cmp.Or(value, s.env(v))
			}
		}
		*set.field(&a) = value
	}
	a.insecure = options["insecure"] == "true" || cloud["verify"] == "false" || cloud["insecure"] == "true" ||
		cloud == nil && slices.Contains([]string{"1", "true", "True"}, s.env("OS_INSECURE"))
	a.kind = kindOf(a)
	return a, nil
}

// kindOf guesses how to log in where nothing says it, and knows the other
// clients' names of the same thing.
func kindOf(a auth) authKind {
	switch a.kind {
	case "":
	case "v3password":
		return authPassword
	case "v3applicationcredential":
		return authApplication
	case "v3token", "token_endpoint", "admin_token":
		return authToken
	case "noauth":
		return authNone
	default:
		return a.kind
	}
	switch {
	case a.applicationID != "" || a.application != "":
		return authApplication
	case a.token != "":
		return authToken
	case a.authURL != "":
		return authPassword
	case a.username != "" && a.password != "":
		return authBasic
	}
	return authNone
}
