output "log_key_arn" {
  description = "Key that logs are encrypted with."
  value       = module.key.arn
}

output "metrics_namespace" {
  description = "Where the collectors write metrics."
  value       = local.metrics
}

output "collector" {
  description = "Configuration of the collector that runs beside each process."
  value       = templatefile("${path.module}/collector.yaml", { namespace = local.metrics, region = data.aws_region.here.name })
}

output "topic_arn" {
  description = "Topic that alarms go to."
  value       = aws_sns_topic.alarms.arn
}
