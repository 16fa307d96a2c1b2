variable "name" {
  type        = string
  description = "Begins the names of everything in this network."
}

variable "cidr" {
  type        = string
  description = "Addresses of the network, a block of 16 bits."

  validation {
    condition     = can(cidrhost(var.cidr, 0)) && endswith(var.cidr, "/16")
    error_message = "Give a block such as 10.20.0.0/16: each zone takes three parts of it."
  }
}

variable "zones" {
  type        = list(string)
  description = "Availability zones; each gets a public, a private and a data subnet."

  validation {
    condition     = length(var.zones) >= 2 && length(var.zones) <= 4
    error_message = "Name two to four zones: a database needs two, and the address plan has room for four."
  }
}

variable "has_nat_per_zone" {
  type        = bool
  default     = true
  description = "Whether each zone goes out by a gateway of its own, so that losing a zone loses no other."
}

variable "log_key_arn" {
  type        = string
  description = "Key that flow logs are encrypted with."
}

variable "log_days" {
  type        = number
  default     = 365
  description = "How long flow logs are kept."
}
