"""What a study needs around it, looked at: machines, nodes of a cluster, services; and what that means."""
