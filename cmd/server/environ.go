package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// envPrefix begins the names of our environment variables.
const envPrefix = "HEADRACE_"

// envFile names the file, as --config does.
const envFile = envPrefix + "CONFIG"

// parseEnviron reads the settings that environment variables give, and the name of
// the file. Several values of one variable stand between commas. A variable that
// begins as ours do and is none is an error: it is a setting, misspelt.
func parseEnviron(environ []string) (all []given, file string, err error) {
	for _, entry := range slices.Sorted(slices.Values(environ)) {
		name, v, _ := strings.Cut(entry, "=")
		s := settingOf(strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(name, envPrefix), "_", "-")))
		switch {
		case !strings.HasPrefix(name, envPrefix):
		case name == envFile:
			if file = v; file == "" {
				return nil, "", fmt.Errorf("%s is empty: it must name a file", envFile)
			}
		case s == nil || s.env() != name:
			if !serviceLink.MatchString(name) {
				return nil, "", fmt.Errorf("%s: there is no such setting%s", name, didYouMean(name, envPrefix, (*setting).env))
			}
		default:
			all = append(all, given{setting: s, values: split(s, v), where: name + "=", source: name})
		}
	}
	return all, file, nil
}

// serviceLink matches the variables that Kubernetes gives every container, for a
// service whose name begins with "headrace".
var serviceLink = regexp.MustCompile(`^HEADRACE_(.+_)?(SERVICE_HOST|SERVICE_PORT|PORT)(_.+)?$`)

// split gives the values of a variable: more than one where the setting is a list.
func split(s *setting, v string) []string {
	if _, ok := s.at(new(options)).(list); !ok {
		return []string{v}
	}
	var all []string
	for part := range strings.SplitSeq(v, ",") {
		if part = strings.TrimSpace(part); part != "" {
			all = append(all, part)
		}
	}
	return all
}
