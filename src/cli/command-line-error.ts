/** A command line that rkt could not understand, as opposed to one that it could not carry out. */

import { RktError } from "../core/errors.ts";

export class CommandLineError extends RktError {
  /** The line that follows the message; undefined: the command's help page does. */
  readonly advice: string | undefined;

  constructor(message: string, advice?: string) {
    super("USAGE", message);
    this.advice = advice;
  }
}
