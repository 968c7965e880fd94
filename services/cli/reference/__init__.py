"""The documentation site: pages made from the programs, and the folder it is built from."""
