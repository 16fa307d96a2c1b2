variable "domain" {
  type        = string
  description = "Base domain: a namespace's host is NAMESPACE.ACCOUNT.DOMAIN, the console's is DOMAIN."

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+$", var.domain))
    error_message = "Give a domain in small letters, such as cloud.example.com."
  }
}

variable "address" {
  type        = object({ name = string, zone_id = string })
  description = "Name and zone of the load balancer."
}

variable "certificate_authorities" {
  type        = list(string)
  default     = ["letsencrypt.org", "amazon.com"]
  description = "Who may issue certificates for the domain."
}

variable "has_private_domain" {
  type        = bool
  default     = false
  description = "Whether the domain resolves to customers' endpoints, which takes a proof."
}

variable "private_domain_proof" {
  type        = list(object({ name = string, value = string }))
  default     = []
  description = "The proof that the endpoint service asks for."
}
