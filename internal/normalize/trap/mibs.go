package trap

import "errors"

// LoadMIBs is written below.
func LoadMIBs(dir string) (*Names, []string, error) { return nil, nil, errors.New("todo") }
