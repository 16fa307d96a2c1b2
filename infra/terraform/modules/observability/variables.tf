variable "name" {
  type        = string
  description = "Name of the installation."
}

variable "services" {
  type        = map(object({ name = string, process = string, task_count = number }))
  description = "The ECS services, with what their process is and the number of tasks below which somebody is told."
}

variable "cluster_name" {
  type        = string
  description = "ECS cluster that they run in."
}

variable "databases" {
  type        = map(string)
  description = "The database clusters' names, by whose they are."
}

variable "edge" {
  type        = object({ load_balancer = string, target_group = string })
  description = "What metrics know the load balancer and its targets by."
}

variable "told" {
  type        = list(string)
  default     = []
  description = "E-mail addresses that alarms go to; each has to confirm once."
}
